/* The only file that knows OpenSSL: SHA-256 for orders and names, base64 for kubeconfig data, certificates for our own
 * HTTPS (the handshakes are libmicrohttpd's and libcurl's affair). */
#ifndef CONFIG_BASE_CRYPTO_H
#define CONFIG_BASE_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#include "config/base/buffer.h"
#include "config/base/error.h"

#define SHA256_SIZE 32

void sha256(const void *bytes, size_t n, uint8_t digest[SHA256_SIZE]);

/* Standard base64; white space anywhere is ignored (YAML folds long lines). Returns a NUL-terminated buffer to free()
 * and its length, or NULL when text is not base64. */
char *base64_decode(const char *text, size_t *lengthp);
char *base64_encode(const void *bytes, size_t n);   /* one line; to free() */

/* A new ECDSA P-256 key and a certificate for it, signed by itself, valid for ten years, for `name` and localhost; PEM is
 * appended to both. -EIO with err when OpenSSL cannot. */
int certificate_self_signed(const char *name, struct buffer *certificate, struct buffer *key, struct error *err);

/* Whether a PEM certificate (chain) and a PEM key (without pass phrase) can be read and belong together; -EINVAL with err:
 * "<which>: <what>". */
int certificate_check(const char *certificate, const char *key, struct error *err);

#endif
