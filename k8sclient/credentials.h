/* Where the API server is and who we are: from a kubeconfig or the pod's service account. Files it names are read again
 * when they change; an exec plugin's answers are put in by exec_plugin.h. TLS is always verified. kubernetes-client.md section 2. */
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

/* Only with an exec plugin anything else than READY. */
enum credentials_state {
	CREDENTIALS_READY,
	CREDENTIALS_AWAITED,   /* the plugin is asked: requests wait */
	CREDENTIALS_MISSING,   /* it failed, `problem` says why: requests fail */
};

struct exec_config;

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
	struct exec_config *exec;   /* the plugin that token, certificate and key come from; NULL: none */
	enum credentials_state state;
	char *problem;           /* one line about the plugin's last failure; NULL: none yet */
};

struct credentials_request {
	const char *kubeconfig;   /* --kubeconfig; NULL: KUBECONFIG, in-cluster, ~/.kube/config */
	const char *context;      /* NULL: current-context */
	const char *server;       /* --api-server; NULL: the kubeconfig's */
};

/* -ENOENT: no configuration anywhere; -EINVAL: broken, or asks for something that is refused
 * (insecure-skip-tls-verify, auth-provider, passwords); -EACCES and so on: a file could not be read. err is one line. */
int credentials_load(struct credentials *c, const struct credentials_request *request, struct error *err);

/* Looks at the files again when `every` microseconds have passed since the last look (0: now). A file that is unreadable
 * or empty keeps its old content; err (may be NULL) then says so and the result is negative. 1: something changed. */
int credentials_refresh(struct credentials *c, int64_t now, int64_t every, struct error *err);

/* Token, certificate and key as a plugin gave them replace the old ones; the three are empty afterwards. */
void credentials_take(struct credentials *c, struct secret *token, struct secret *certificate, struct secret *key);
void credentials_free(struct credentials *c);

/* Wipes and frees it. */
void secret_free(struct secret *s);

/* Cuts white space off a token's end. -EINVAL when it is empty, or holds what would be an injection into our headers. Pure. */
int token_trim(const char *name, char *token, size_t *lenp, struct error *err);

/* Pure part: decodes kubeconfig text (YAML or JSON) for one context. path: for messages and relative file names. */
int kubeconfig_decode(struct credentials *c, const char *text, size_t len, const char *path, const char *context, struct error *err);

#endif
