#include "config/base/crypto.h"

#include <ctype.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/memory.h"

void sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE])
{
	SHA256(bytes, n, digest);
}

char *base64_decode(const char *text, size_t *lengthp)
{
	static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t len = strlen(text), n = 0, padding = 0;
	if (len > INT_MAX / 2)
		return NULL;
	char *packed = mem_zalloc(len + 1);
	for (size_t i = 0; i < len; i++)
		if (!isspace((unsigned char)text[i]))
			packed[n++] = text[i];
	while (padding < 2 && padding < n && packed[n - 1 - padding] == '=')
		padding++;
	/* OpenSSL takes '=' for a digit anywhere and drops '-' at the end. */
	if (strspn(packed, DIGITS) + padding != n)
		n = 0;
	char *out = mem_zalloc(n + 1);
	int got = n % 4 == 0 && n > 0 ? EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)packed, (int)n) : -1;
	free(packed);
	if (got < 0) {
		free(out);
		return NULL;
	}
	*lengthp = (size_t)got - padding;
	out[*lengthp] = '\0';
	return out;
}

char *base64_encode(const void *bytes, size_t n)
{
	if (n > INT_MAX / 2)
		mem_exhausted();
	char *out = mem_zalloc((n + 2) / 3 * 4 + 1);
	EVP_EncodeBlock((unsigned char *)out, bytes, (int)n);
	return out;
}
