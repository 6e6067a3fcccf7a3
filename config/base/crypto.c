#include "config/base/crypto.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
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

/* ---- certificates ---- */

#define DAY_S 86400L

static bool add_extension(X509 *x, int nid, const char *text)
{
	X509V3_CTX ctx;
	X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, text);
	bool ok = extension && X509_add_ext(x, extension, -1);
	X509_EXTENSION_free(extension);
	return ok;
}

static bool fill_certificate(X509 *x, EVP_PKEY *key, const char *name)
{
	unsigned char serial[16];
	/* A common name has at most 64 characters; and only what a DNS name can hold may go into the extension's syntax. */
	char common[65] = "", names[320];
	strncpy(common, name, sizeof(common) - 1);
	bool dns = *name && strlen(name) < 254 && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == strlen(name);
	snprintf(names, sizeof(names), "DNS:localhost,IP:127.0.0.1,IP:::1%s%s", dns ? ",DNS:" : "", dns ? name : "");
	X509_NAME *subject = X509_get_subject_name(x);
	if (RAND_bytes(serial, sizeof(serial)) != 1)
		return false;
	serial[0] &= 0x7f;
	BIGNUM *number = BN_bin2bn(serial, sizeof(serial), NULL);
	bool ok = number && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(x)) && X509_set_version(x, 2) &&
		  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const unsigned char *)(*common ? common : "l2lb"), -1, -1, 0) &&
		  X509_set_issuer_name(x, subject) && X509_set_pubkey(x, key) &&
		  /* A node's clock may be late until NTP has answered. */
		  X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) && X509_gmtime_adj(X509_getm_notAfter(x), 3650 * DAY_S) &&
		  add_extension(x, NID_basic_constraints, "critical,CA:TRUE") && add_extension(x, NID_ext_key_usage, "serverAuth") &&
		  add_extension(x, NID_subject_alt_name, names) && X509_sign(x, key, EVP_sha256()) > 0;
	BN_free(number);
	return ok;
}

static void append_bio(struct buffer *out, BIO *bio)
{
	char *data;
	long n = BIO_get_mem_data(bio, &data);
	buffer_append(out, data, n > 0 ? (size_t)n : 0);
}

int certificate_self_signed(const char *name, struct buffer *certificate, struct buffer *key, struct error *err)
{
	EVP_PKEY *pair = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	BIO *cert_out = BIO_new(BIO_s_mem()), *key_out = BIO_new(BIO_s_mem());
	bool ok = pair && x && cert_out && key_out && fill_certificate(x, pair, name) && PEM_write_bio_X509(cert_out, x) &&
		  PEM_write_bio_PrivateKey(key_out, pair, NULL, NULL, 0, NULL, NULL);
	if (ok) {
		append_bio(certificate, cert_out);
		append_bio(key, key_out);
	}
	BIO_free(cert_out);
	BIO_free(key_out);
	X509_free(x);
	EVP_PKEY_free(pair);
	if (ok)
		return 0;
	const char *why = ERR_reason_error_string(ERR_get_error());
	ERR_clear_error();
	return error_set(err, -EIO, "a certificate could not be made: %s", why ? why : "unknown reason");
}

/* Without it OpenSSL would ask for the pass phrase on the terminal. */
static int no_pass_phrase(char *out, int size, int writing, void *data)
{
	(void)out;
	(void)size;
	(void)writing;
	(void)data;
	return 0;
}

int certificate_check(const char *certificate, const char *key, struct error *err)
{
	BIO *cert_in = BIO_new_mem_buf(certificate, -1), *key_in = BIO_new_mem_buf(key, -1);
	X509 *x = cert_in ? PEM_read_bio_X509(cert_in, NULL, no_pass_phrase, NULL) : NULL;
	EVP_PKEY *pair = key_in ? PEM_read_bio_PrivateKey(key_in, NULL, no_pass_phrase, NULL) : NULL;
	int rc = 0;
	if (!x)
		rc = error_set(err, -EINVAL, "certificate: not a certificate in PEM form");
	else if (!pair)
		rc = error_set(err, -EINVAL, "key: not a private key in PEM form without pass phrase");
	else if (X509_check_private_key(x, pair) != 1)
		rc = error_set(err, -EINVAL, "key: not the one of the certificate");
	ERR_clear_error();
	EVP_PKEY_free(pair);
	X509_free(x);
	BIO_free(key_in);
	BIO_free(cert_in);
	return rc;
}
