/* What `l2lb run` was asked to do: flags, then environment, then defaults. Pure: the environment is a function. */
#ifndef CONFIG_OPTIONS_H
#define CONFIG_OPTIONS_H

#include <stdint.h>

#include "config/base/buffer.h"
#include "config/base/error.h"
#include "config/base/log.h"
#include "config/pool.h"

#define OPTIONS_ANNOUNCE_TO 15   /* hosts at most */

struct options {
	bool controller, speaker;     /* --role; `all` sets both */
	char *kubeconfig;             /* NULL: KUBECONFIG, in-cluster, ~/.kube/config */
	char *context;
	char *api_server;
	char *name_space;             /* NULL: not given (nor METALLB_NAMESPACE) */
	char *node_name;
	char *pod_name, *pod_uid;     /* METALLB_POD_NAME or POD_NAME; POD_UID */
	char *lb_class;               /* "" : none */
	struct pool **pools;          /* --pool; empty: IPAddressPool objects */
	size_t n_pools;
	enum log_level log_level;
	bool ignore_exclude_label;    /* --ignore-exclude-lb */
	int64_t liveness_interval;    /* microseconds, as all times here */
	int64_t gratuitous_interval;  /* 0: no refresh */
	char *state_file;             /* --state-file; NULL: none */
	bool guard;                   /* --guard: answer with the MAC of a peer whose speaker is down, else take over at once */
	bool give_up;                 /* --on-conflict=move: addresses that strangers use are given up, else defended */
	int64_t foreign_silence;      /* a stranger that was not heard for so long has gone */
	unsigned arp_rate;            /* announcements per second and link; 0: no cap */
	uint32_t announce_to[OPTIONS_ANNOUNCE_TO];   /* --announce-to; host byte order */
	size_t n_announce_to;
	int64_t api_stall;            /* a watch without a byte for so long is opened anew */
	int64_t api_retry_max;        /* longest wait between tries */
	unsigned port;                /* of /metrics (HTTPS); 0: off */
	unsigned health_probe_port;   /* of /healthz and /readyz (HTTP); 0: off */
	char *metrics_cert_dir;       /* tls.crt and tls.key; NULL: a certificate of our own */
	bool metrics_auth;            /* ask the API server who may read /metrics */
	int tls_min_version;          /* 12 or 13 */
	char **ignored;               /* MetalLB flags and variables without meaning here, to be said once */
	size_t n_ignored;
	bool once;                    /* allocate what is pending, then end */
	bool dry_run;                 /* say what would be done, write nothing */
	bool json;                    /* the report of --once and --dry-run as JSON, else as a table */
	bool help;
};

typedef const char *(*options_env)(const char *name);

/* arguments: what follows `run`. -EINVAL: err is one line that starts with the flag's name. Call options_free in any case. */
int options_parse(struct options *o, int argc, char *const *argv, options_env env, struct error *err);
void options_free(struct options *o);

/* The text of `l2lb run --help`. */
void options_usage(struct buffer *out);

/* For commands that read the cluster too (tool_options.h): kubeconfig, context, api_server, name_space and lb_class of a zeroed
 * struct. One flag at argv[at]: how many arguments it used; 0: not one of these; -EINVAL. After all flags: the environment. */
int options_cluster_flag(struct options *o, int argc, char *const *argv, int at, struct error *err);
int options_cluster_environment(struct options *o, options_env env, struct error *err);
void options_cluster_usage(struct buffer *out);

/* "100ms", "1.5s", "60s", "2m", "1h"; a plain number is seconds. Microseconds; -EINVAL. */
int options_duration(const char *text, int64_t *microseconds, struct error *err);

#endif
