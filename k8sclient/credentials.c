#include "k8sclient/credentials.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/base/buffer.h"
#include "config/base/memory.h"
#include "k8sclient/exec_credential.h"

#define SERVICE_ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"
#define FILE_MAX (1024 * 1024)   /* far above any kubeconfig, certificate bundle or token */

static int read_file(const char *path, struct buffer *out, struct error *err)
{
	char chunk[4096];
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a FIFO by mistake must not hang us */
	if (fd < 0)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	while ((n = read(fd, chunk, sizeof(chunk))) > 0 && out->len <= FILE_MAX)
		buffer_append(out, chunk, (size_t)n);
	int rc = n < 0 ? -errno : 0;
	close(fd);
	if (rc < 0)
		return error_set(err, rc, "%s: %s", path, strerror(-rc));
	if (out->len > FILE_MAX)
		return error_set(err, -EFBIG, "%s: larger than 1 MiB", path);
	return out->len ? 0 : error_set(err, -EINVAL, "%s: empty", path);
}

int token_trim(const char *name, char *token, size_t *lenp, struct error *err)
{
	while (*lenp && isspace((unsigned char)token[*lenp - 1]))
		token[--*lenp] = '\0';
	if (*lenp == 0)
		return error_set(err, -EINVAL, "%s: empty", name);
	for (size_t i = 0; i < *lenp; i++)
		if ((unsigned char)token[i] <= 0x20 || token[i] == 0x7f)
			return error_set(err, -EINVAL, "%s: the token holds blanks or control characters", name);
	return 0;
}

/* Reads a secret's file; 1 when its content is new. */
static int secret_read(struct secret *s, bool is_token, struct error *err)
{
	struct buffer b = BUFFER_INIT;
	if (!s->file)
		return 0;
	int rc = read_file(s->file, &b, err);
	if (rc == 0 && is_token)
		rc = token_trim(s->file, b.data, &b.len, err);
	if (rc == 0 && !(s->data && s->len == b.len && memcmp(s->data, b.data, b.len) == 0)) {
		free(s->data);
		s->data = mem_strndup(b.data, b.len);
		s->len = b.len;
		rc = 1;
	}
	buffer_free(&b);
	return rc;
}

int credentials_refresh(struct credentials *c, int64_t now, int64_t every, struct error *err)
{
	struct secret *const secrets[] = {&c->ca, &c->certificate, &c->key, &c->token};
	int changed = 0, failed = 0;
	if (every && now - c->checked < every)
		return 0;
	c->checked = now;
	for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
		int rc = secret_read(secrets[i], secrets[i] == &c->token, err);
		failed = rc < 0 ? rc : failed;
		changed |= rc > 0;
	}
	c->generation += (unsigned)changed;
	return failed ? failed : changed;
}

static int load_service_account(struct credentials *c, struct error *err)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
	struct buffer ns = BUFFER_INIT;
	c->source = mem_strdup("service account");
	c->server = mem_printf(strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
	c->ca.file = mem_strdup(SERVICE_ACCOUNT "ca.crt");
	c->token.file = mem_strdup(SERVICE_ACCOUNT "token");
	if (read_file(SERVICE_ACCOUNT "namespace", &ns, NULL) == 0)
		c->name_space = mem_strndup(ns.data, strcspn(ns.data, " \t\r\n"));
	buffer_free(&ns);
	int rc = credentials_refresh(c, 0, 0, err);
	if (rc < 0)
		error_prefix(err, "service account");
	return rc < 0 ? rc : 0;
}

static int load_file(struct credentials *c, const char *path, const char *context, struct error *err)
{
	struct buffer text = BUFFER_INIT;
	int rc = read_file(path, &text, err);
	if (rc < 0)
		error_prefix(err, "kubeconfig");
	else
		rc = kubeconfig_decode(c, text.data, text.len, path, context, err);
	buffer_free(&text);
	if (rc < 0)
		return rc;
	c->source = context ? mem_printf("kubeconfig %s, context %s", path, context) : mem_printf("kubeconfig %s", path);
	rc = credentials_refresh(c, 0, 0, err);
	if (rc < 0)
		error_prefix(err, "kubeconfig %s", path);
	return rc < 0 ? rc : 0;
}

/* The first file of $KUBECONFIG's list that exists; kubectl merges them, which a daemon does not need. */
static char *first_of_list(const char *list)
{
	char *copy = mem_strdup(list), *rest = copy, *path, *found = NULL;
	while (!found && (path = strsep(&rest, ":")))
		if (*path && access(path, F_OK) == 0)
			found = mem_strdup(path);
	if (!found)   /* let the error name what was asked for */
		found = mem_strndup(list, strcspn(list, ":"));
	free(copy);
	return found;
}

static char *choose_file(const struct credentials_request *request, bool *in_cluster)
{
	const char *list = getenv("KUBECONFIG"), *home = getenv("HOME");
	*in_cluster = false;
	if (request->kubeconfig)
		return mem_strdup(request->kubeconfig);
	if (list && *list)
		return first_of_list(list);
	if (getenv("KUBERNETES_SERVICE_HOST") && getenv("KUBERNETES_SERVICE_PORT")) {
		*in_cluster = true;
		return NULL;
	}
	char *path = home ? mem_printf("%s/.kube/config", home) : NULL;
	if (path && access(path, F_OK) == 0)
		return path;
	free(path);
	return NULL;
}

static int check(struct credentials *c, struct error *err)
{
	size_t n = strlen(c->server);
	while (n && c->server[n - 1] == '/')
		c->server[--n] = '\0';
	if (strncmp(c->server, "http://", 7) == 0 && (c->token.len || c->certificate.len || c->exec))
		return error_set(err, -EINVAL, "%s: credentials are never sent without TLS; use https://", c->server);
	return c->token.len ? token_trim("token", c->token.data, &c->token.len, err) : 0;
}

int credentials_load(struct credentials *c, const struct credentials_request *request, struct error *err)
{
	bool in_cluster;
	*c = (struct credentials){0};
	char *path = choose_file(request, &in_cluster);
	int rc = path ? load_file(c, path, request->context, err)
	       : in_cluster ? load_service_account(c, err)
	       : error_set(err, -ENOENT, "no kubeconfig: give --kubeconfig FILE, set KUBECONFIG, or run in a pod");
	free(path);
	if (rc == 0 && request->server)
		mem_replace(&c->server, request->server);
	if (rc == 0)
		rc = check(c, err);
	if (rc < 0)
		credentials_free(c);
	return rc;
}

void secret_free(struct secret *s)
{
	if (s->data)
		explicit_bzero(s->data, s->len);
	free(s->data);
	free(s->file);
	*s = (struct secret){0};
}

static bool replace(struct secret *old, struct secret *new)
{
	bool same = old->len == new->len && (!old->len || memcmp(old->data, new->data, old->len) == 0);
	secret_free(same ? new : old);
	if (!same)
		*old = *new;
	*new = (struct secret){0};
	return !same;
}

void credentials_take(struct credentials *c, struct secret *token, struct secret *certificate, struct secret *key)
{
	bool changed = replace(&c->token, token);
	changed |= replace(&c->certificate, certificate);
	changed |= replace(&c->key, key);
	c->generation += changed;
}

void credentials_free(struct credentials *c)
{
	free(c->source);
	free(c->server);
	free(c->tls_server_name);
	free(c->proxy);
	free(c->name_space);
	secret_free(&c->ca);
	secret_free(&c->certificate);
	secret_free(&c->key);
	secret_free(&c->token);
	exec_config_free(c->exec);
	free(c->problem);
	*c = (struct credentials){0};
}
