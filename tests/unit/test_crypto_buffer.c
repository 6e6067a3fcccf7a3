/* SHA-256, base64, certificates, growable buffers and JSON strings. */
#include "config/base/buffer.h"
#include "config/base/crypto.h"
#include "tests/unit/unit.h"

static void hashes(void **state)
{
	static const struct {
		const char *text, *hex;
	} KNOWN[] = {   /* FIPS 180-2 */
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(KNOWN); i++) {
		uint8_t digest[SHA256_SIZE];
		char hex[2 * SHA256_SIZE + 1];
		sha256(KNOWN[i].text, strlen(KNOWN[i].text), digest);
		for (size_t j = 0; j < SHA256_SIZE; j++)
			snprintf(hex + 2 * j, 3, "%02x", digest[j]);
		assert_string_equal(hex, KNOWN[i].hex);
	}
}

static void decodes_base64(void **state)
{
	static const struct {
		const char *in, *out;   /* out NULL: refused */
		size_t length;
	} ROWS[] = {
		{"Zg==", "f", 1}, {"Zm8=", "fo", 2}, {"Zm9v", "foo", 3}, {"Zm9vYg==", "foob", 4}, {"Zm9v\nYm\tFy ", "foobar", 6}, {"  Zm9v", "foo", 3},
		{"Zg=\n=", "f", 1}, {"AAAA", "\0\0\0", 3}, {"+/+/", "\xfb\xff\xbf", 3}, {"", NULL, 0}, {" \n", NULL, 0}, {"Z", NULL, 0}, {"Zg", NULL, 0},
		{"Zg=", NULL, 0}, {"Zm9", NULL, 0}, {"====", NULL, 0}, {"A===", NULL, 0}, {"Zg==Zg==", NULL, 0}, {"Z=9v", NULL, 0}, {"=m9v", NULL, 0},
		{"Zm9v----", NULL, 0}, {"-_-_", NULL, 0}, {"Zm9$", NULL, 0}, {"Zm9v!", NULL, 0}, {"Zm9\xc3", NULL, 0},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		size_t length = 77;
		char *out = base64_decode(ROWS[i].in, &length);
		if (!out != !ROWS[i].out)
			fail_msg("\"%s\" was %s", ROWS[i].in, out ? "accepted" : "refused");
		if (out) {
			assert_int_equal(length, ROWS[i].length);
			assert_memory_equal(out, ROWS[i].out, length + 1);   /* with its NUL */
		}
		free(out);
	}
}

static void makes_certificates(void **state)
{
	static const char *const NAMES[] = {"worker-1", "", "a name, DNS:evil.example", "x.example.org",
					    "a-name-that-is-longer-than-the-sixty-four-characters-of-a-common-name.example.org", "gr\xc3\xbc\xc3\x9f"};
	struct buffer first = BUFFER_INIT;
	(void)state;
	for (size_t i = 0; i < COUNT(NAMES); i++) {
		struct buffer certificate = BUFFER_INIT, key = BUFFER_INIT;
		struct error err;
		if (certificate_self_signed(NAMES[i], &certificate, &key, &err) < 0)
			fail_msg("\"%s\": %s", NAMES[i], err.text);
		unit_contains(buffer_string(&certificate), "-----BEGIN CERTIFICATE-----");
		unit_contains(buffer_string(&key), "PRIVATE KEY-----");
		assert_int_equal(certificate_check(buffer_string(&certificate), buffer_string(&key), &err), 0);
		if (i == 0) {
			first = certificate;
		} else {   /* each has a key of its own */
			assert_int_equal(certificate_check(buffer_string(&first), buffer_string(&key), &err), -EINVAL);
			unit_contains(err.text, "key: not the one of the certificate");
			buffer_free(&certificate);
		}
		buffer_free(&key);
	}
	buffer_free(&first);
}

static void refuses_bad_certificates(void **state)
{
	struct buffer certificate = BUFFER_INIT, key = BUFFER_INIT;
	struct error err;
	(void)state;
	assert_int_equal(certificate_self_signed("x", &certificate, &key, &err), 0);
	const char *cert = buffer_string(&certificate), *pem = buffer_string(&key);
	char *cut = mem_strndup(cert, strlen(cert) / 2);
	static const char ENCRYPTED[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAhN\n-----END ENCRYPTED PRIVATE KEY-----\n";
	const struct {
		const char *certificate, *key, *says;
	} BAD[] = {
		{"", pem, "certificate:"}, {"hello", pem, "certificate:"}, {cut, pem, "certificate:"}, {pem, pem, "certificate:"},
		{cert, "", "key:"}, {cert, "hello", "key:"}, {cert, cert, "key:"}, {cert, ENCRYPTED, "key:"},
	};
	for (size_t i = 0; i < COUNT(BAD); i++) {
		if (certificate_check(BAD[i].certificate, BAD[i].key, &err) != -EINVAL)
			fail_msg("row %zu was accepted", i);
		unit_contains(err.text, BAD[i].says);
	}
	free(cut);
	buffer_free(&certificate);
	buffer_free(&key);
}

static void grows(void **state)
{
	struct buffer b = BUFFER_INIT;
	(void)state;
	assert_string_equal(buffer_string(&b), "");
	buffer_append(&b, NULL, 0);
	assert_string_equal(buffer_string(&b), "");
	buffer_text(&b, "one ");
	buffer_printf(&b, "%s %d", "two", 3);
	buffer_append(&b, "\0x", 2);
	assert_int_equal(b.len, 11);
	assert_memory_equal(b.data, "one two 3\0x", 12);   /* with the NUL behind it */
	buffer_consume(&b, 0);
	buffer_consume(&b, 4);
	assert_memory_equal(b.data, "two 3\0x", 8);
	buffer_consume(&b, b.len);
	assert_int_equal(b.len, 0);
	assert_string_equal(buffer_string(&b), "");
	for (int i = 0; i < 10000; i++)
		buffer_printf(&b, "%05d", i);
	assert_int_equal(b.len, 50000);
	assert_true(b.cap > 50000);
	assert_memory_equal(b.data + 5 * 9999, "09999", 6);
	buffer_reset(&b, b.cap);   /* not above: the memory stays */
	assert_non_null(b.data);
	assert_int_equal(b.len, 0);
	assert_string_equal(buffer_string(&b), "");
	buffer_reset(&b, 100);
	assert_null(b.data);
	assert_int_equal(b.cap, 0);
	buffer_reset(&b, 0);
	buffer_printf(&b, "%s", "");
	assert_string_equal(buffer_string(&b), "");
	buffer_free(&b);
}

static void json_strings(void **state)
{
	static const struct {
		const char *in, *out;
	} ROWS[] = {
		{"", "\"\""},
		{"plain", "\"plain\""},
		{"a\"b\\c/", "\"a\\\"b\\\\c/\""},
		{"\n\t\r\x01\x1f\x7f", "\"\\u000a\\u0009\\u000d\\u0001\\u001f\\u007f\""},
		{"\x1b[31m", "\"\\u001b[31m\""},
		{"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80", "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80\""},
		{"\xff", "\"?\""},
		{"a\x80z", "\"a?z\""},
		{"\xc3", "\"?\""},           /* cut off */
		{"\xe2\x82", "\"??\""},
		{"\xc3(", "\"?(\""},
		{"\xc0\xaf", "\"??\""},       /* too long a form of '/' */
		{"\xe0\x80\xaf", "\"???\""},
		{"\xf0\x80\x80\xaf", "\"????\""},
		{"\xed\xa0\x80", "\"???\""},  /* half a surrogate pair */
		{"\xf4\x90\x80\x80", "\"????\""},   /* beyond U+10FFFF */
		{"\xf5\x80\x80\x80", "\"????\""},
		{"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xe0\xa0\x80\xc2\x80", "\"\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xe0\xa0\x80\xc2\x80\""},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(ROWS); i++) {
		struct buffer b = BUFFER_INIT;
		buffer_json_string(&b, ROWS[i].in);
		assert_string_equal(buffer_string(&b), ROWS[i].out);
		/* Whatever came in, a strict reader takes the line. */
		json_t *json = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
		assert_non_null(json);
		json_decref(json);
		buffer_free(&b);
	}
}

/* Every row of four bytes from those around which UTF-8 decides. */
static void json_strings_of_any_bytes(void **state)
{
	static const unsigned char BYTES[] = {0x01, 'a', '"', 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
					      0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
	(void)state;
	struct buffer b = BUFFER_INIT;
	for (size_t i = 0; i < COUNT(BYTES) * COUNT(BYTES) * COUNT(BYTES) * COUNT(BYTES); i++) {
		char text[5] = "";
		size_t rest = i;
		for (size_t j = 0; j < 4; j++, rest /= COUNT(BYTES))
			text[j] = (char)BYTES[rest % COUNT(BYTES)];
		buffer_reset(&b, 4096);
		buffer_json_string(&b, text);
		json_t *json = json_loadb(b.data, b.len, JSON_DECODE_ANY, NULL);
		if (!json)
			fail_msg("%02x %02x %02x %02x gives what is not JSON", (unsigned char)text[0], (unsigned char)text[1], (unsigned char)text[2],
				 (unsigned char)text[3]);
		json_decref(json);
	}
	buffer_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hashes), cmocka_unit_test(decodes_base64), cmocka_unit_test(makes_certificates),
		cmocka_unit_test(refuses_bad_certificates), cmocka_unit_test(grows), cmocka_unit_test(json_strings),
		cmocka_unit_test(json_strings_of_any_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
