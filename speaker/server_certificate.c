#include "speaker/server_certificate.h"

#include <stdlib.h>
#include <string.h>

#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "config/base/deadline.h"
#include "config/base/file.h"
#include "config/base/log.h"
#include "config/base/memory.h"

#define LOOK_EVERY (5 * CLOCK_S)
#define SIZE_MAX_PEM (256u * 1024)

struct server_certificate {
	char *folder, *name;
	char *certificate, *key;   /* last looked at, good or bad */
	char said[sizeof(((struct error *)0)->text)];
	bool have;                 /* some pair is in use */
	int (*use)(void *data, const char *certificate, const char *key, struct error *err);
	void *data;
	struct deadline look;
};

static int read_pair(struct server_certificate *c, struct buffer *certificate, struct buffer *key, struct error *err)
{
	char *certificate_file = mem_printf("%s/tls.crt", c->folder), *key_file = mem_printf("%s/tls.key", c->folder);
	int rc = file_read(certificate_file, SIZE_MAX_PEM, certificate, err);
	if (rc == 0)
		rc = file_read(key_file, SIZE_MAX_PEM, key, err);
	free(certificate_file);
	free(key_file);
	return rc;
}

static void complain(struct server_certificate *c, const struct error *err)
{
	if (strcmp(c->said, err->text) == 0)
		return;
	memcpy(c->said, err->text, sizeof(c->said));
	log_error("certificateFailed", KV("flag", "--metrics-cert-dir"), "--metrics-cert-dir: %s; %s", err->text,
		  c->have ? "the former certificate stays in use" : "no /metrics until it is there");
}

static bool same(const struct server_certificate *c, const struct buffer *certificate, const struct buffer *key)
{
	return c->certificate && strcmp(c->certificate, buffer_string(certificate)) == 0 && strcmp(c->key, buffer_string(key)) == 0;
}

static void take(struct server_certificate *c, const struct buffer *certificate, const struct buffer *key)
{
	struct error err;
	mem_replace(&c->certificate, buffer_string(certificate));
	mem_replace(&c->key, buffer_string(key));
	int rc = certificate_check(c->certificate, c->key, &err);
	if (rc == 0)
		rc = c->use(c->data, c->certificate, c->key, &err);
	if (rc < 0) {
		error_prefix(&err, "%s/tls.crt, tls.key", c->folder ? c->folder : "");
		complain(c, &err);
		return;
	}
	c->said[0] = '\0';
	if (c->folder)
		log_info("certificateLoaded", KV("flag", "--metrics-cert-dir"), "/metrics: %s certificate from %s", c->have ? "new" : "using the", c->folder);
	c->have = true;
}

static void look(void *data)
{
	struct server_certificate *c = data;
	struct buffer certificate = BUFFER_INIT, key = BUFFER_INIT;
	struct error err;
	int rc = c->folder ? read_pair(c, &certificate, &key, &err) : certificate_self_signed(c->name, &certificate, &key, &err);
	if (rc < 0)
		complain(c, &err);
	else if (!same(c, &certificate, &key))
		take(c, &certificate, &key);
	buffer_free(&certificate);
	buffer_free(&key);
	if (c->folder || !c->have)
		deadline_set(&c->look, clock_now() + LOOK_EVERY);
}

void server_certificate_init(struct server_certificate **cp, uv_loop_t *loop, const char *folder, const char *name,
			     int (*use)(void *data, const char *certificate, const char *key, struct error *err), void *data)
{
	struct server_certificate *c = mem_zalloc(sizeof(*c));
	c->folder = mem_strdup(folder);
	c->name = mem_strdup(name);
	c->use = use;
	c->data = data;
	deadline_init(&c->look, loop, look, c);
	*cp = c;
}

void server_certificate_start(struct server_certificate *c)
{
	look(c);
}

static void on_closed(void *data)
{
	struct server_certificate *c = data;
	free(c->folder);
	free(c->name);
	free(c->certificate);
	free(c->key);
	free(c);
}

void server_certificate_close(struct server_certificate *c)
{
	if (c)
		deadline_close(&c->look, on_closed);
}
