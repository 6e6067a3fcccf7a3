/* kubeconfig text to credentials: the pure half of credentials.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/base/crypto.h"
#include "config/base/memory.h"
#include "k8sclient/exec_credential.h"
#include "k8sclient/yaml.h"

static const char *text_of(const json_t *map, const char *field)
{
	const char *text = json_string_value(json_object_get(map, field));
	return text && *text ? text : NULL;
}

/* The entry of that name in a list of {name, <kind>: {...}}; the first wins. */
static const json_t *find_named(const json_t *config, const char *list, const char *kind, const char *name)
{
	const json_t *items = json_object_get(config, list);
	for (size_t i = 0; name && i < json_array_size(items); i++) {
		const json_t *item = json_array_get(items, i);
		const char *found = text_of(item, "name");
		if (found && strcmp(found, name) == 0) {
			const json_t *value = json_object_get(item, kind);
			return json_is_object(value) ? value : item;
		}
	}
	return NULL;
}

/* A file named in a kubeconfig is relative to the kubeconfig. */
static char *beside(const char *path, const char *file)
{
	const char *slash = strrchr(path, '/');
	if (file[0] == '/' || !slash)
		return mem_strdup(file);
	return mem_printf("%.*s/%s", (int)(slash - path), path, file);
}

/* `<field>` names a file, `<field>-data` holds base64; both is an error. */
static int take_secret(struct secret *s, const json_t *map, const char *field, const char *path, struct error *err)
{
	char data_field[64];
	strcpy(data_field, field);
	strcat(data_field, "-data");
	const char *file = text_of(map, field), *data = text_of(map, data_field);
	if (file && data)
		return error_set(err, -EINVAL, "%s and %s are both set; keep one", field, data_field);
	if (file)
		s->file = beside(path, file);
	if (data) {
		s->data = base64_decode(data, &s->len);
		if (!s->data || s->len == 0)
			return error_set(err, -EINVAL, "%s is not base64", data_field);
	}
	return 0;
}

static bool is_set(const struct secret *s)
{
	return s->file || s->data;
}

static int take_cluster(struct credentials *c, const json_t *cluster, const char *path, struct error *err)
{
	const char *server = text_of(cluster, "server");
	if (!server)
		return error_set(err, -EINVAL, "the cluster has no server");
	if (strncmp(server, "https://", 8) != 0 && strncmp(server, "http://", 7) != 0)
		return error_set(err, -EINVAL, "server \"%.100s\" needs a scheme; write it as https://...", server);
	const json_t *insecure = json_object_get(cluster, "insecure-skip-tls-verify");
	if (json_is_true(insecure) || (json_is_string(insecure) && strcmp(json_string_value(insecure), "true") == 0))
		return error_set(err, -EINVAL, "insecure-skip-tls-verify is refused: TLS is always verified; give certificate-authority or certificate-authority-data instead");
	c->server = mem_strdup(server);
	c->tls_server_name = mem_strdup(text_of(cluster, "tls-server-name"));
	c->proxy = mem_strdup(text_of(cluster, "proxy-url"));
	return take_secret(&c->ca, cluster, "certificate-authority", path, err);
}

static int refuse_unsupported(const json_t *user, struct error *err)
{
	if (json_is_object(json_object_get(user, "auth-provider")))
		return error_set(err, -EINVAL, "auth-provider is not supported (Kubernetes removed it in 1.26); use a client certificate or a token");
	if (text_of(user, "username") || text_of(user, "password"))
		return error_set(err, -EINVAL, "username and password are not supported (Kubernetes removed them in 1.19); use a client certificate or a token");
	if (text_of(user, "as"))
		return error_set(err, -EINVAL, "impersonation (\"as\") is not supported; use credentials of that user");
	return 0;
}

/* A plugin is asked only where nothing was given outright, as in kubectl. */
static int take_exec(struct credentials *c, const json_t *user, const json_t *cluster, const char *path, struct error *err)
{
	const json_t *exec = json_object_get(user, "exec");
	if (!exec || json_is_null(exec) || is_set(&c->token) || is_set(&c->certificate))
		return 0;
	int rc = exec_config_decode(&c->exec, exec, cluster, err);
	if (rc < 0)
		return rc;
	if (strchr(c->exec->command, '/')) {
		char *command = beside(path, c->exec->command);
		free(c->exec->command);
		c->exec->command = command;
	}
	c->state = CREDENTIALS_AWAITED;
	return 0;
}

static int take_user(struct credentials *c, const json_t *user, const char *path, struct error *err)
{
	int rc = refuse_unsupported(user, err);
	if (rc == 0)
		rc = take_secret(&c->certificate, user, "client-certificate", path, err);
	if (rc == 0)
		rc = take_secret(&c->key, user, "client-key", path, err);
	if (rc < 0)
		return rc;
	if (is_set(&c->certificate) != is_set(&c->key))
		return error_set(err, -EINVAL, "client-certificate and client-key belong together; one is missing");
	const char *token = text_of(user, "token"), *token_file = text_of(user, "tokenFile");
	if (token_file)
		c->token.file = beside(path, token_file);
	else if (token) {
		c->token.data = mem_strdup(token);
		c->token.len = strlen(token);
	}
	return 0;
}

static int decode_context(struct credentials *c, const json_t *config, const char *path, const char *name, struct error *err)
{
	if (!name)
		return error_set(err, -EINVAL, "no current-context; choose one with --context");
	const json_t *context = find_named(config, "contexts", "context", name);
	if (!context)
		return error_set(err, -EINVAL, "context \"%.100s\" does not exist", name);
	const char *cluster_name = text_of(context, "cluster"), *user_name = text_of(context, "user");
	const json_t *cluster = find_named(config, "clusters", "cluster", cluster_name);
	const json_t *user = find_named(config, "users", "user", user_name);
	if (!cluster)
		return error_set(err, -EINVAL, "context \"%.100s\": cluster \"%.100s\" does not exist", name, cluster_name ? cluster_name : "");
	if (user_name && !user)
		return error_set(err, -EINVAL, "context \"%.100s\": user \"%.100s\" does not exist", name, user_name);
	c->name_space = mem_strdup(text_of(context, "namespace"));
	int rc = take_cluster(c, cluster, path, err);
	if (rc < 0) {
		error_prefix(err, "cluster \"%.100s\"", cluster_name);
		return rc;
	}
	rc = user ? take_user(c, user, path, err) : 0;
	if (rc == 0 && user)
		rc = take_exec(c, user, cluster, path, err);
	if (rc < 0)
		error_prefix(err, "user \"%.100s\"", user_name);
	return rc;
}

int kubeconfig_decode(struct credentials *c, const char *text, size_t len, const char *path, const char *context, struct error *err)
{
	json_t *config = yaml_parse(text, len, err);
	int rc = -EINVAL;
	if (config && json_is_object(config))
		rc = decode_context(c, config, path, context ? context : text_of(config, "current-context"), err);
	else if (config)
		error_set(err, rc, "not a kubeconfig");
	json_decref(config);
	if (rc < 0)
		error_prefix(err, "kubeconfig %s", path);
	return rc;
}
