/* Where the API server is and who we are: from a kubeconfig or the pod's service account. Files it names are read again
 * when they change. TLS is always verified. kubernetes-client.md section 2. */
#ifndef K8SCLIENT_CREDENTIALS_H
#define K8SCLIENT_CREDENTIALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

/* Bytes that come from a file (re-read) or stood in the kubeconfig. */
struct secret {
	char *file;    /* NULL: inline */
	char *data;    /* NULL: none */
	size_t len;
};

struct credentials {
	char *source;            /* for the log: "kubeconfig /root/.kube/config, context home" or "service account" */
	char *server;            /* "https://host:port", without a slash at the end */
	char *tls_server_name;   /* NULL: the server's host */
	char *proxy;             /* NULL: the environment decides */
	char *name_space;        /* the context's or service account's; NULL: none */
	struct secret ca, certificate, key;   /* PEM */
	struct secret token;
	int64_t checked;         /* clock of the last look at the files */
	unsigned generation;     /* grows when a secret's content changed */
};

struct credentials_request {
	const char *kubeconfig;   /* --kubeconfig; NULL: KUBECONFIG, in-cluster, ~/.kube/config */
	const char *context;      /* NULL: current-context */
	const char *server;       /* --api-server; NULL: the kubeconfig's */
};

/* -ENOENT: no configuration anywhere; -EINVAL: broken, or asks for something that is refused (exec plugins,
 * insecure-skip-tls-verify, auth-provider, passwords); -EACCES and so on: a file could not be read. err is one line. */
int credentials_load(struct credentials *c, const struct credentials_request *request, struct error *err);

/* Looks at the files again when `every` microseconds have passed since the last look (0: now). A file that is unreadable
 * or empty keeps its old content; err (may be NULL) then says so and the result is negative. 1: something changed. */
int credentials_refresh(struct credentials *c, int64_t now, int64_t every, struct error *err);
void credentials_free(struct credentials *c);

/* Pure part: decodes kubeconfig text (YAML or JSON) for one context. path: for messages and relative file names. */
int kubeconfig_decode(struct credentials *c, const char *text, size_t len, const char *path, const char *context, struct error *err);

#endif
