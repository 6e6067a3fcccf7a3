#include "k8sclient/exec_credential.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "config/base/memory.h"

#define GROUP "client.authentication.k8s.io/"
#define CLUSTER_EXTENSION "client.authentication.k8s.io/exec"
#define INFO "KUBERNETES_EXEC_INFO"
#define HINT_MAX 400
#define AHEAD (60 * CLOCK_S)

static const char *text_of(const json_t *map, const char *field)
{
	const char *text = json_string_value(json_object_get(map, field));
	return text && *text ? text : NULL;
}

/* ---- the kubeconfig's side ---- */

void exec_strings_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

static int check_version(const char *version, struct error *err)
{
	if (!version)
		return error_set(err, -EINVAL, "it has no apiVersion; write " GROUP "v1");
	if (strcmp(version, GROUP "v1alpha1") == 0)
		return error_set(err, -EINVAL, "apiVersion %s is no longer used (Kubernetes removed it in 1.24); update the plugin and write " GROUP "v1beta1 or v1", version);
	if (strcmp(version, GROUP "v1") != 0 && strcmp(version, GROUP "v1beta1") != 0)
		return error_set(err, -EINVAL, "apiVersion \"%.100s\" is not known; write " GROUP "v1 or v1beta1", version);
	return 0;
}

static int check_mode(const char *mode, struct error *err)
{
	if (!mode || strcmp(mode, "Never") == 0 || strcmp(mode, "IfAvailable") == 0)
		return 0;
	if (strcmp(mode, "Always") == 0)
		return error_set(err, -EINVAL, "it wants a terminal (interactiveMode: Always), which a daemon has not; use a client certificate or a token (kubectl create token ...)");
	return error_set(err, -EINVAL, "interactiveMode \"%.100s\" is not known; write Never or IfAvailable", mode);
}

/* A string; null is an empty one, as in kubectl. */
static const char *plain(const json_t *value)
{
	return json_is_null(value) ? "" : json_string_value(value);
}

static int take_arguments(struct exec_config *config, const json_t *list, struct error *err)
{
	size_t n = json_array_size(list);
	if (list && !json_is_null(list) && !json_is_array(list))
		return error_set(err, -EINVAL, "args is not a list");
	config->arguments = mem_zalloc((n + 1) * sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		config->arguments[i] = mem_strdup(plain(json_array_get(list, i)));
		if (!config->arguments[i])
			return error_set(err, -EINVAL, "args[%zu] is not text; put it in quotes", i);
	}
	return 0;
}

static int take_environment(struct exec_config *config, const json_t *list, struct error *err)
{
	size_t n = json_array_size(list);
	if (list && !json_is_null(list) && !json_is_array(list))
		return error_set(err, -EINVAL, "env is not a list of name and value");
	config->environment = mem_zalloc((n + 1) * sizeof(char *));
	for (size_t i = 0; i < n; i++) {
		const json_t *entry = json_array_get(list, i), *value = json_object_get(entry, "value");
		const char *name = text_of(entry, "name"), *text = value ? plain(value) : "";
		if (!name || strchr(name, '='))
			return error_set(err, -EINVAL, "env[%zu] has no usable name", i);
		if (!text)
			return error_set(err, -EINVAL, "env %.100s: the value is not text; put it in quotes", name);
		config->environment[i] = mem_printf("%s=%s", name, text);
	}
	return 0;
}

/* Hints are often paragraphs; ours is part of one line. */
static char *hint_line(const char *text)
{
	size_t n = 0;
	char *line = mem_zalloc(HINT_MAX + 1);
	for (; *text && n < HINT_MAX; text++) {
		bool blank = (unsigned char)*text <= 0x20 || *text == 0x7f;
		if (!blank)
			line[n++] = *text;
		else if (n && line[n - 1] != ' ')
			line[n++] = ' ';
	}
	while (n && line[n - 1] == ' ')
		line[--n] = '\0';
	return line;
}

static json_t *extension_of(const json_t *cluster)
{
	const json_t *list = json_object_get(cluster, "extensions");
	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *name = text_of(json_array_get(list, i), "name");
		if (name && strcmp(name, CLUSTER_EXTENSION) == 0)
			return json_deep_copy(json_object_get(json_array_get(list, i), "extension"));
	}
	return NULL;
}

static bool is_true(const json_t *value)
{
	return json_is_true(value) || (json_is_string(value) && strcmp(json_string_value(value), "true") == 0);
}

int exec_config_decode(struct exec_config **configp, const json_t *exec, const json_t *cluster, struct error *err)
{
	const char *command = text_of(exec, "command"), *version = text_of(exec, "apiVersion"), *hint = text_of(exec, "installHint");
	if (!command)
		return error_set(err, -EINVAL, "exec has no command; name the program that prints the credential");
	struct exec_config *config = mem_zalloc(sizeof(*config));
	int rc = check_version(version, err);
	if (rc == 0)
		rc = check_mode(text_of(exec, "interactiveMode"), err);
	if (rc == 0)
		rc = take_arguments(config, json_object_get(exec, "args"), err);
	if (rc == 0)
		rc = take_environment(config, json_object_get(exec, "env"), err);
	if (rc < 0) {
		error_prefix(err, "exec plugin \"%.100s\"", command);
		exec_config_free(config);
		return rc;
	}
	config->api_version = mem_strdup(version);
	config->command = mem_strdup(command);
	config->install_hint = hint ? hint_line(hint) : NULL;
	config->give_cluster = is_true(json_object_get(exec, "provideClusterInfo"));
	config->cluster_config = config->give_cluster ? extension_of(cluster) : NULL;
	*configp = config;
	return 0;
}

void exec_config_free(struct exec_config *config)
{
	if (!config)
		return;
	free(config->api_version);
	free(config->command);
	exec_strings_free(config->arguments);
	exec_strings_free(config->environment);
	free(config->install_hint);
	json_decref(config->cluster_config);
	free(config);
}

/* ---- what the plugin is told ---- */

static json_t *cluster_info(const struct exec_config *config, const struct credentials *c)
{
	char *authority = c->ca.data ? base64_encode(c->ca.data, c->ca.len) : NULL;
	json_t *info = json_pack("{s:s, s:s*, s:s*, s:s*, s:O*}", "server", c->server, "tls-server-name", c->tls_server_name,
				 "certificate-authority-data", authority, "proxy-url", c->proxy, "config", config->cluster_config);
	free(authority);
	return info;
}

char *exec_config_info(const struct exec_config *config, const struct credentials *c)
{
	json_t *info = json_pack("{s:s, s:s, s:{s:b}}", "kind", "ExecCredential", "apiVersion", config->api_version, "spec", "interactive", 0);
	if (config->give_cluster)
		json_object_set_new(json_object_get(info, "spec"), "cluster", cluster_info(config, c));
	char *text = json_dumps(info, JSON_COMPACT);
	json_decref(info);
	return text;
}

static size_t count(char *const *strings)
{
	size_t n = 0;
	while (strings[n])
		n++;
	return n;
}

static bool same_name(const char *a, const char *b)
{
	size_t n = strcspn(a, "=");
	return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Puts "NAME=value" in the place of the same name, else at the end. */
static void put_variable(char **list, const char *variable)
{
	while (*list && !same_name(*list, variable))
		list++;
	mem_replace(list, variable);
}

char **exec_config_environment(const struct exec_config *config, char *const *base, const char *info)
{
	char **list = mem_zalloc((count(base) + count(config->environment) + 2) * sizeof(char *));
	char *variable = mem_printf(INFO "=%s", info);
	for (size_t i = 0; base[i]; i++)
		list[i] = mem_strdup(base[i]);
	for (size_t i = 0; config->environment[i]; i++)
		put_variable(list, config->environment[i]);
	put_variable(list, variable);
	free(variable);
	return list;
}

/* ---- what it answers ---- */

static void take_text(struct secret *s, const char *text)
{
	if (!text)
		return;
	s->data = mem_strdup(text);
	s->len = strlen(text);
}

static int take_secrets(struct exec_credential *out, const json_t *status, struct error *err)
{
	static const char *const FIELDS[] = {"token", "clientCertificateData", "clientKeyData"};
	struct secret *const places[] = {&out->token, &out->certificate, &out->key};
	for (size_t i = 0; i < 3; i++) {
		const json_t *value = json_object_get(status, FIELDS[i]);
		if (value && !json_is_null(value) && !json_is_string(value))
			return error_set(err, -EINVAL, "%s is not text", FIELDS[i]);
		take_text(places[i], text_of(status, FIELDS[i]));
	}
	if (!out->certificate.data != !out->key.data)
		return error_set(err, -EINVAL, "clientCertificateData and clientKeyData belong together; one is missing");
	if (!out->token.data && !out->certificate.data)
		return error_set(err, -EINVAL, "neither a token nor a client certificate is in it");
	if (out->certificate.data && !strstr(out->certificate.data, "-----BEGIN CERTIFICATE-----"))
		return error_set(err, -EINVAL, "clientCertificateData is not PEM");
	if (out->key.data && !strstr(out->key.data, "PRIVATE KEY-----"))
		return error_set(err, -EINVAL, "clientKeyData is not PEM");
	return out->token.data ? token_trim("token", out->token.data, &out->token.len, err) : 0;
}

static int take_expiry(struct exec_credential *out, const json_t *status, struct error *err)
{
	const json_t *value = json_object_get(status, "expirationTimestamp");
	out->expires = EXEC_NO_EXPIRY;
	if (!value || json_is_null(value))
		return 0;
	if (!json_is_string(value) || !rfc3339_parse(json_string_value(value), &out->expires))
		return error_set(err, -EINVAL, "expirationTimestamp is not an RFC 3339 time (like 2030-01-31T12:00:00Z)");
	return 0;
}

static int decode_object(struct exec_credential *out, const json_t *object, const char *api_version, struct error *err)
{
	const char *kind = text_of(object, "kind"), *version = text_of(object, "apiVersion");
	const json_t *status = json_object_get(object, "status");
	if (!kind || strcmp(kind, "ExecCredential") != 0)
		return error_set(err, -EINVAL, "its output is no ExecCredential");
	if (!version || strcmp(version, api_version) != 0)
		return error_set(err, -EINVAL, "it answers in apiVersion \"%.100s\", asked for was %s; write in the kubeconfig what the plugin knows", version ? version : "",
				 api_version);
	if (!json_is_object(status))
		return error_set(err, -EINVAL, "its output has no status");
	int rc = take_secrets(out, status, err);
	return rc < 0 ? rc : take_expiry(out, status, err);
}

int exec_credential_decode(struct exec_credential *out, const char *text, size_t len, const char *api_version, struct error *err)
{
	json_error_t at;
	*out = (struct exec_credential){.expires = EXEC_NO_EXPIRY};
	if (strspn(text, " \t\r\n") == len)
		return error_set(err, -EINVAL, "it printed nothing");
	json_t *object = json_loadb(text, len, 0, &at);
	int rc = object ? decode_object(out, object, api_version, err) : error_set(err, -EINVAL, "its output is not JSON (line %d, column %d)", at.line, at.column);
	json_decref(object);
	if (rc < 0)
		exec_credential_free(out);
	return rc;
}

void exec_credential_free(struct exec_credential *credential)
{
	secret_free(&credential->token);
	secret_free(&credential->certificate);
	secret_free(&credential->key);
}

int64_t exec_credential_keep(int64_t expires, int64_t now)
{
	if (expires == EXEC_NO_EXPIRY)
		return EXEC_NO_EXPIRY;
	int64_t left = expires - now;
	return left <= 0 ? 0 : left < 2 * AHEAD ? left / 2 : left - AHEAD;
}

/* ---- time ---- */

/* Exactly n digits, moves on behind them; -1: not so. */
static int digits(const char **text, int n)
{
	int value = 0;
	for (; n > 0; n--, (*text)++) {
		if (!isdigit((unsigned char)**text))
			return -1;
		value = value * 10 + (**text - '0');
	}
	return value;
}

static bool skip(const char **text, const char *one_of)
{
	return **text && strchr(one_of, **text) ? (*text)++, true : false;
}

/* ".123456789": what is finer than a microsecond is dropped. */
static bool fraction(const char **text, int64_t *microseconds)
{
	int64_t unit = CLOCK_S / 10;
	*microseconds = 0;
	if (!skip(text, "."))
		return true;
	if (!isdigit((unsigned char)**text))
		return false;
	for (; isdigit((unsigned char)**text); (*text)++, unit /= 10)
		*microseconds += (**text - '0') * unit;
	return true;
}

/* "Z" or "+01:00", in seconds east of Greenwich. */
static bool zone(const char **text, int *seconds)
{
	int sign = **text == '-' ? -1 : 1;
	*seconds = 0;
	if (skip(text, "Zz"))
		return true;
	if (!skip(text, "+-"))
		return false;
	int hours = digits(text, 2);
	int minutes = hours >= 0 && skip(text, ":") ? digits(text, 2) : -1;
	*seconds = sign * (hours * 3600 + minutes * 60);
	return hours >= 0 && hours < 24 && minutes >= 0 && minutes < 60;
}

static int days_in(int year, int month)
{
	static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
	return DAYS[month - 1] + (month == 2 && leap);
}

bool rfc3339_parse(const char *text, int64_t *microseconds)
{
	int64_t part;
	int east;
	int year = digits(&text, 4);
	int month = year >= 0 && skip(&text, "-") ? digits(&text, 2) : -1;
	int day = month >= 0 && skip(&text, "-") ? digits(&text, 2) : -1;
	int hour = day >= 0 && skip(&text, "Tt ") ? digits(&text, 2) : -1;
	int minute = hour >= 0 && skip(&text, ":") ? digits(&text, 2) : -1;
	int second = minute >= 0 && skip(&text, ":") ? digits(&text, 2) : -1;
	if (second < 0 || second > 60 || minute > 59 || hour > 23 || month < 1 || month > 12 || day < 1 || day > days_in(year, month))
		return false;
	if (!fraction(&text, &part) || !zone(&text, &east) || *text)
		return false;
	struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day, .tm_hour = hour, .tm_min = minute, .tm_sec = second};
	*microseconds = ((int64_t)timegm(&tm) - east) * CLOCK_S + part;
	return true;
}
