/* Exec credential plugins (client.authentication.k8s.io), the pure half: what a kubeconfig says of one, what it is told in
 * KUBERNETES_EXEC_INFO, and what its answer says. exec_plugin.h runs it. kubernetes-client.md section 2.6. */
#ifndef K8SCLIENT_EXEC_CREDENTIAL_H
#define K8SCLIENT_EXEC_CREDENTIAL_H

#include <jansson.h>

#include "k8sclient/credentials.h"

struct exec_config {
	char *api_version;      /* of the answer too */
	char *command;          /* with a slash: a path; else looked for in PATH */
	char **arguments;       /* without the command; NULL-terminated */
	char **environment;     /* "NAME=value" to add; NULL-terminated */
	char *install_hint;     /* one line; NULL: none */
	bool give_cluster;      /* provideClusterInfo */
	json_t *cluster_config; /* the cluster's extension for plugins; NULL: none */
};

/* Decodes users[].user.exec; cluster: the context's cluster entry. -EINVAL with what and remedy: no command, an apiVersion
 * that is not v1 or v1beta1, a plugin that wants a terminal, ... */
int exec_config_decode(struct exec_config **configp, const json_t *exec, const json_t *cluster, struct error *err);
void exec_config_free(struct exec_config *config);

/* KUBERNETES_EXEC_INFO for it; to free(). */
char *exec_config_info(const struct exec_config *config, const struct credentials *c);

/* The environment to run it in: base (NULL-terminated), its own variables, and the info. For exec_strings_free. */
char **exec_config_environment(const struct exec_config *config, char *const *base, const char *info);
void exec_strings_free(char **strings);

#define EXEC_NO_EXPIRY INT64_MAX

struct exec_credential {
	struct secret token, certificate, key;   /* a token, or certificate and key, or all three */
	int64_t expires;                         /* microseconds since 1970; EXEC_NO_EXPIRY */
};

/* Decodes what a plugin wrote. -EINVAL: not an ExecCredential of that apiVersion, or nothing usable in it. err never repeats
 * the text: it may hold half a secret. */
int exec_credential_decode(struct exec_credential *out, const char *text, size_t len, const char *api_version, struct error *err);
void exec_credential_free(struct exec_credential *credential);

/* How long to keep it before the plugin runs again, in microseconds: to 1 min before its end, or half of the rest of its
 * life when that is shorter than 2 min. 0: it has expired; EXEC_NO_EXPIRY: for good. now: like `expires`. */
int64_t exec_credential_keep(int64_t expires, int64_t now);

/* RFC 3339 to microseconds since 1970. False: not one, or no such day or hour. */
bool rfc3339_parse(const char *text, int64_t *microseconds);

#endif
