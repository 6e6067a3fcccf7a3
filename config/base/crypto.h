/* The only file that knows OpenSSL: SHA-256 for orders and names, base64 for kubeconfig data. */
#ifndef CONFIG_BASE_CRYPTO_H
#define CONFIG_BASE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE]);

/* Standard base64; white space anywhere is ignored (YAML folds long lines). Returns a NUL-terminated buffer to free()
 * and its length, or NULL when text is not base64. */
char *base64_decode(const char *text, size_t *lengthp);
char *base64_encode(const void *bytes, size_t n);   /* one line; to free() */

#endif
