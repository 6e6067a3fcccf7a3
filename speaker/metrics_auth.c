#include "speaker/metrics_auth.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/base/clock.h"
#include "config/base/crypto.h"
#include "config/base/deadline.h"
#include "config/base/log.h"
#include "config/base/map.h"

#define KEEP (60 * CLOCK_S)
#define KEPT_MAX 64
#define ANSWER_WITHIN (5 * CLOCK_S)
#define REVIEWS_PER_S 5
#define WAITERS_MAX 24
#define TOKEN_MAX 8192
#define SAY_EVERY (60 * CLOCK_S)

struct waiter {
	metrics_auth_verdict on_verdict;
	void *data;
};

struct check {
	uint8_t key[SHA256_SIZE];    /* of the token: the token itself is not kept */
	struct metrics_auth *auth;
	struct api_call *call;       /* NULL: the verdict is there */
	int status;
	int64_t until;               /* the verdict's end, or when it must be there */
	struct waiter waiters[WAITERS_MAX];
	size_t n_waiters;
	UT_hash_handle hh;           /* oldest first */
};

struct metrics_auth {
	struct api *api;
	struct check *checks;
	int64_t second;              /* in which the reviews are counted */
	int reviews;
	int64_t said_at;
	struct deadline overdue;
};

static void check_free(struct check *c)
{
	HASH_DEL(c->auth->checks, c);
	api_cancel(c->call);
	free(c);
}

static const char *words(int status)
{
	switch (status) {
	case 200:
		return "";
	case 401:
		return "a bearer token that the cluster knows is required";
	case 403:
		return "not allowed: grant get on the nonResourceURL /metrics";
	case 429:
		return "too many different tokens";
	default:
		return "the API server could not be asked";
	}
}

/* The verdict for all who wait. Only what the API server said is kept. */
static void conclude(struct check *c, int status)
{
	struct waiter waiters[WAITERS_MAX];
	size_t n = c->n_waiters;
	memcpy(waiters, c->waiters, n * sizeof(waiters[0]));
	c->n_waiters = 0;
	c->status = status;
	c->until = clock_now() + KEEP;
	if (status == 503)
		check_free(c);
	for (size_t i = 0; i < n; i++)
		waiters[i].on_verdict(waiters[i].data, status, words(status));
}

static void could_not_ask(struct check *c, const char *why)
{
	struct metrics_auth *auth = c->auth;
	int64_t now = clock_now();
	if (now - auth->said_at >= SAY_EVERY)
		log_warn("metricsAuthFailed", KV("flag", "--metrics-auth"), "--metrics-auth: %s (needed: deploy/metrics-auth.yaml)", why);
	if (now - auth->said_at >= SAY_EVERY)
		auth->said_at = now;
	conclude(c, 503);
}

static void on_access_review(void *data, const struct api_result *result)
{
	struct check *c = data;
	c->call = NULL;
	if (!api_succeeded(result)) {
		could_not_ask(c, result->message);
		return;
	}
	conclude(c, json_is_true(json_object_get(json_object_get(result->body, "status"), "allowed")) ? 200 : 403);
}

static void send_review(struct check *c, const char *path, json_t *body, void (*on_result)(void *, const struct api_result *))
{
	struct api_request request = {.method = "POST", .path = path, .content_type = API_JSON, .body = body, .timeout = ANSWER_WITHIN,
				      .on_result = on_result, .data = c};
	c->call = api_send(c->auth->api, &request);
	json_decref(body);
}

/* What the TokenReview says of the user, as the access review wants it. */
static json_t *access_review(const json_t *user)
{
	static const char *const SAME[] = {"groups", "uid", "extra"};
	json_t *spec = json_pack("{s:O, s:{s:s, s:s}}", "user", json_object_get(user, "username"), "nonResourceAttributes", "path", "/metrics", "verb", "get");
	for (size_t i = 0; spec && i < sizeof(SAME) / sizeof(SAME[0]); i++) {
		json_t *value = json_object_get(user, SAME[i]);
		if (value)
			json_object_set(spec, SAME[i], value);
	}
	return json_pack("{s:s, s:s, s:o}", "apiVersion", "authorization.k8s.io/v1", "kind", "SubjectAccessReview", "spec", spec ? spec : json_object());
}

static void on_token_review(void *data, const struct api_result *result)
{
	struct check *c = data;
	c->call = NULL;
	if (!api_succeeded(result)) {
		could_not_ask(c, result->message);
		return;
	}
	const json_t *status = json_object_get(result->body, "status"), *user = json_object_get(status, "user");
	if (!json_is_true(json_object_get(status, "authenticated")) || !json_is_string(json_object_get(user, "username")))
		conclude(c, 401);
	else
		send_review(c, "/apis/authorization.k8s.io/v1/subjectaccessreviews", access_review(user), on_access_review);
}

/* ---- asking ---- */

/* The token of "Bearer <token>", or NULL when that is not what it is. */
static const char *bearer(const char *authorization)
{
	if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
		return NULL;
	const char *token = authorization + 7 + strspn(authorization + 7, " ");
	size_t n = strlen(token);
	bool fits = n > 0 && n <= TOKEN_MAX;
	for (size_t i = 0; fits && i < n; i++)
		fits = token[i] > ' ' && token[i] < 0x7f;
	return fits ? token : NULL;
}

static void watch_the_clock(struct metrics_auth *auth)
{
	int64_t next = CLOCK_NEVER;
	for (struct check *c = auth->checks; c; c = c->hh.next)
		if (c->call)
			next = clock_min(next, c->until);
	deadline_set(&auth->overdue, next);
}

static void on_overdue(void *data)
{
	struct metrics_auth *auth = data;
	struct check *c, *tmp;
	int64_t now = clock_now();
	HASH_ITER(hh, auth->checks, c, tmp)
		if (c->call && c->until <= now) {
			api_cancel(c->call);
			c->call = NULL;
			could_not_ask(c, "the API server does not answer");
		}
	watch_the_clock(auth);
}

static bool may_review(struct metrics_auth *auth, int64_t now)
{
	if (now - auth->second >= CLOCK_S) {
		auth->second = now;
		auth->reviews = 0;
	}
	return auth->reviews++ < REVIEWS_PER_S;
}

/* Forgets what is over, then what is oldest; good tokens last. False: all of them are under way. */
static bool make_room(struct metrics_auth *auth, int64_t now)
{
	struct check *c, *tmp;
	HASH_ITER(hh, auth->checks, c, tmp)
		if (!c->call && c->status != 200 && (c->until <= now || HASH_COUNT(auth->checks) >= KEPT_MAX))
			check_free(c);
	HASH_ITER(hh, auth->checks, c, tmp)
		if (!c->call && HASH_COUNT(auth->checks) >= KEPT_MAX)
			check_free(c);
	return HASH_COUNT(auth->checks) < KEPT_MAX;
}

/* known: it was good a minute ago, so strangers' tokens must not keep it out. */
static struct check *start_check(struct metrics_auth *auth, const char *token, const uint8_t *key, bool known, int64_t now)
{
	if (!make_room(auth, now) || (!known && !may_review(auth, now)))
		return NULL;
	struct check *c = mem_zalloc(sizeof(*c));
	memcpy(c->key, key, sizeof(c->key));
	c->auth = auth;
	c->until = now + ANSWER_WITHIN;
	HASH_ADD(hh, auth->checks, key, sizeof(c->key), c);
	send_review(c, "/apis/authentication.k8s.io/v1/tokenreviews",
		    json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "authentication.k8s.io/v1", "kind", "TokenReview", "spec", "token", token), on_token_review);
	watch_the_clock(auth);
	return c;
}

void metrics_auth_ask(struct metrics_auth *auth, const char *authorization, metrics_auth_verdict on_verdict, void *data)
{
	uint8_t key[SHA256_SIZE];
	struct check *c;
	int64_t now = clock_now();
	const char *token = bearer(authorization);
	if (!token) {
		on_verdict(data, 401, words(401));
		return;
	}
	sha256(token, strlen(token), key);
	HASH_FIND(hh, auth->checks, key, sizeof(key), c);
	bool known = c && !c->call && c->status == 200;
	if (c && !c->call && c->until <= now) {
		check_free(c);
		c = NULL;
	}
	if (c && !c->call) {
		on_verdict(data, c->status, words(c->status));
		return;
	}
	if (!c)
		c = start_check(auth, token, key, known, now);
	if (!c || c->n_waiters == WAITERS_MAX)
		on_verdict(data, 429, words(429));
	else
		c->waiters[c->n_waiters++] = (struct waiter){on_verdict, data};
}

void metrics_auth_init(struct metrics_auth **authp, uv_loop_t *loop, struct api *api)
{
	struct metrics_auth *auth = mem_zalloc(sizeof(*auth));
	auth->api = api;
	auth->second = auth->said_at = CLOCK_LONG_AGO;
	deadline_init(&auth->overdue, loop, on_overdue, auth);
	*authp = auth;
}

static void on_closed(void *data)
{
	free(data);
}

void metrics_auth_close(struct metrics_auth *auth)
{
	struct check *c, *tmp;
	if (!auth)
		return;
	HASH_ITER(hh, auth->checks, c, tmp) {
		if (c->call) {
			api_cancel(c->call);
			c->call = NULL;
			conclude(c, 503);
		} else {
			check_free(c);
		}
	}
	deadline_close(&auth->overdue, on_closed);
}
