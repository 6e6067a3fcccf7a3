/* One line for people from whatever a server, a proxy or the network answered. */
#include "k8sclient/api.h"
#include "tests/unit/unit.h"

#define PATH "/api/v1/services"
#define HINT_401 "; the credentials are not accepted: check token or certificate (expired?)"
#define HINT_403 "; apply deploy/rbac.yaml or grant this user the verb"

static void answers(void **state)
{
	static const struct {
		int status;
		const char *body, *message, *reason;
		int code;
	} ROWS[] = {
		{403, "{\"kind\":\"Status\",\"reason\":\"Forbidden\",\"message\":\"services is forbidden: User \\\"u\\\" cannot list\",\"code\":403}",
		 "GET " PATH ": 403 services is forbidden: User \"u\" cannot list" HINT_403, "Forbidden", 403},
		{401, "{\"kind\":\"Status\",\"reason\":\"Unauthorized\",\"message\":\"Unauthorized\",\"code\":401}", "GET " PATH ": 401 Unauthorized" HINT_401,
		 "Unauthorized", 401},
		{410, "{\"message\":\"too old\\nresource version\",\"reason\":\"Expired\",\"code\":410}", "GET " PATH ": 410 too old", "Expired", 410},
		{409, "{\"message\":\"a\\u001b[31mb\\tc\",\"reason\":\"Conflict\"}", "GET " PATH ": 409 a?[31mb?c", "Conflict", 409},
		{500, "{\"code\":503}", "GET " PATH ": 500 {\"code\":503}", "", 503},
		{500, "{\"code\":\"503\",\"reason\":7,\"message\":{}}", "GET " PATH ": 500 {\"code\":\"503\",\"reason\":7,\"message\":{}}", "", 500},
		{429, "Too many requests, please try again later.\n", "GET " PATH ": 429 Too many requests, please try again later.", "", 429},
		{502, "<html>\r\n<head><title>502 Bad Gateway</title></head></html>", "GET " PATH ": 502 <html>", "", 502},
		{502, "\n\n  <html><body>Bad Gateway</body></html>\n", "GET " PATH ": 502 <html><body>Bad Gateway</body></html>", "", 502},
		{503, "", "GET " PATH ": 503", "", 503},
		{503, " \n", "GET " PATH ": 503", "", 503},
		{503, "{\"message\":\"\"}", "GET " PATH ": 503", "", 503},
		{401, "", "GET " PATH ": 401" HINT_401, "", 401},
		{404, "[]", "GET " PATH ": 404 []", "", 404},
		{404, "null", "GET " PATH ": 404 null", "", 404},
		{500, "{\"message\":\"cut", "GET " PATH ": 500 {\"message\":\"cut", "", 500},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct api_failure f;
		api_describe(&f, "GET", PATH "?limit=500&labelSelector=a%3Db", ROWS[i].status, 0, "", ROWS[i].body, strlen(ROWS[i].body));
		assert_string_equal(f.message, ROWS[i].message);
		assert_string_equal(f.reason, ROWS[i].reason);
		assert_int_equal(f.code, ROWS[i].code);
	}
}

static void transport_failures(void **state)
{
	static const struct {
		int status, error;
		const char *transport, *message;
	} ROWS[] = {
		{0, -ECONNREFUSED, "Failed to connect to 1.2.3.4 port 6443", "PUT /x: Failed to connect to 1.2.3.4 port 6443; is the API server up and the address right?"},
		{0, -EPROTO, "SSL certificate problem: unable to get local issuer certificate",
		 "PUT /x: SSL certificate problem: unable to get local issuer certificate; check certificate-authority and the server's certificate"},
		{0, -EHOSTUNREACH, "Could not resolve host: x", "PUT /x: Could not resolve host: x; check the server's name"},
		{0, -ETIMEDOUT, "Operation timed out", "PUT /x: Operation timed out"},
		{200, -EIO, "Recv failure: Connection reset by peer\r\n", "PUT /x: Recv failure: Connection reset by peer"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct api_failure f;
		api_describe(&f, "PUT", "/x", ROWS[i].status, ROWS[i].error, ROWS[i].transport, NULL, 0);
		assert_string_equal(f.message, ROWS[i].message);
		assert_string_equal(f.reason, "");
	}
}

static void never_too_long(void **state)
{
	struct api_failure f;
	char *body = mem_zalloc(100001), *path = mem_zalloc(5001);
	(void)state;
	memset(body, 'x', 100000);
	memset(path, '/', 5000);
	api_describe(&f, "GET", "/x", 500, 0, "", body, 100000);
	assert_int_equal(strlen(f.message), strlen("GET /x: 500 ") + 300);
	api_describe(&f, "GET", path, 401, 0, "", body, 100000);
	assert_int_equal(strlen(f.message), sizeof(f.message) - 1);
	char *json = mem_printf("{\"reason\":\"%.200s\",\"message\":\"%.2000s\"}", body, body);
	api_describe(&f, "GET", "/x", 500, 0, "", json, strlen(json));
	assert_int_equal(strlen(f.reason), sizeof(f.reason) - 1);
	assert_int_equal(strlen(f.message), strlen("GET /x: 500 ") + 300);
	/* The body need not end with a NUL. */
	char *exact = malloc(3);
	assert_non_null(exact);
	memcpy(exact, "abc", 3);
	api_describe(&f, "GET", "/x", 500, 0, "", exact, 3);
	assert_string_equal(f.message, "GET /x: 500 abc");
	free(exact);
	free(json);
	free(path);
	free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(answers), cmocka_unit_test(transport_failures), cmocka_unit_test(never_too_long)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
