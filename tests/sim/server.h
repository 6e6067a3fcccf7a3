/* The API server of the simulated cluster and the way to it: apiserver.h with an outage, a past (what caches still show), and
 * observers of every write. */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include <jansson.h>

#include "tests/sim/apiserver.h"
#include "tests/sim/world.h"

void server_begin(void);
void server_end(void);
void server_forget_past(void);   /* what there is has been there for long */
struct simapi *server_store(void);
bool server_up(void);
void server_set_up(bool up);
void server_compact(void);

/* It has just started: custom resources are answered by 429 ("storage is (re)initializing") for some seconds more. */
bool server_refuses(const char *path);

/* Done at once. Returns the HTTP status; *replyp: a new reference. */
int server_request(const char *method, const char *path, const char *content_type, const json_t *body, json_t **replyp);

/* By the administrator; it must succeed. body is stolen. */
void server_do(const char *method, const char *path, json_t *body);

/* The version that a cache shows which lags behind by so much. */
uint64_t server_version_at(int64_t lag);

/* The node's way to the API server is cut, or not any more. */
void server_cut(struct host *h, int by);

/* Implemented by watcher.c: an object has changed; the server has stopped; the way is free again. */
void watching_changed(const char *path);
void watching_server_down(void);
void watching_free_again(struct host *h);

/* Implemented by api.c. */
void requests_end(void);

#endif
