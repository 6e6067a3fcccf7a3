/* Who answers and who should: verdicts, findings, what arping would show, and the report. */
#include "speaker/arping_forecast.h"
#include "speaker/verification_report.h"
#include "tests/unit/support.h"

#define VIP "192.168.122.100"
#define ANSWERS_MAX 16

/* Nodes: a is k8s-control, b worker-1, c worker-2; d, e, f are nobody's MACs. */
static const char *const NODES[] = {"k8s-control", "worker-1", "worker-2"};

static struct mac mac_of(char letter)
{
	return (struct mac){{2, 0, 0, 0, 0, (uint8_t)(letter - 'a' + 0xa)}};
}

/* "0bb 1bc": to question 0 the MAC b by b itself, to question 1 b said by c. Each word 200 us later. */
static size_t read_answers(const char *text, struct inquiry_answer *out)
{
	size_t n = 0;
	uint32_t address = 0xc0a87a64;
	for (; *text; text += text[3] ? 4 : 3) {
		out[n] = (struct inquiry_answer){.address = address, .question = (unsigned)(text[0] - '0'), .after = (int64_t)(n + 1) * 200, .sha = mac_of(text[1]),
						 .eth_src = mac_of(text[2]), .link = "eth0"};
		assert_in_range(++n, 1, ANSWERS_MAX - 2);
	}
	/* of another address, and so not to count */
	out[n] = out[0];
	out[n].address = address + 1;
	out[n].sha = out[n].eth_src = mac_of('f');
	return n + 1;
}

static struct verification_input input_of(const struct model *m, const struct link_table *links, const struct inquiry_answer *answers, size_t n)
{
	return (struct verification_input){.address = support_address(VIP), .model = m, .links = links, .link = "eth0", .questions = 3, .answers = answers,
					   .n_answers = n};
}

static void make_nodes(struct model *m)
{
	for (size_t i = 0; i < COUNT(NODES); i++) {
		char mac[MAC_TEXT];
		struct mac is = mac_of((char)('a' + i));
		char *links = mem_printf("[{'name': 'eth0', 'mac': '%s', 'addresses': ['192.168.122.%zu/24']}]", mac_format(&is, mac), 10 + i);
		support_node_record(m, NODES[i], links);
		free(links);
	}
}

struct verdict_case {
	const char *holder;    /* of the record; NULL: there is no record; "-": nobody */
	const char *shown;     /* the Service's status; NULL: there is no Service */
	char self;             /* this machine's MAC; 0: of no node */
	const char *answers;
	enum verdict verdict;
	const char *says[2];   /* parts of the first two findings; NULL: there is none */
};

static const struct verdict_case CASES[] = {
	{"worker-1", VIP, 0, "0bb 1bb 2bb", VERDICT_OK, {NULL}},
	/* silence */
	{"worker-1", VIP, 0, "", VERDICT_NO_ANSWER, {"worker-1 owns it and does not answer"}},
	{"worker-1", VIP, 0, "0bb 2bb", VERDICT_LOSSY, {"worker-1 has left 1 of 3 questions unanswered"}},
	{"worker-1", VIP, 'b', "", VERDICT_THIS_NODE, {"this machine is worker-1, which owns it"}},
	{"worker-1", VIP, 'c', "0bb 1bb 2bb", VERDICT_OK, {NULL}},
	{"gone", VIP, 0, "", VERDICT_UNKNOWN_OWNER, {"no Lease node-gone"}},
	{"gone", VIP, 0, "0dd 1dd 2dd", VERDICT_UNKNOWN_OWNER, {"no Lease node-gone"}},
	/* a guard */
	{"worker-1", VIP, 0, "0bc 1bc 2bc", VERDICT_GUARDED, {"worker-2 guards it: it answers with the MAC of worker-1"}},
	{"worker-1", VIP, 0, "0bb 1bc 2bc", VERDICT_GUARDED, {"worker-2 guards it"}},
	{"worker-1", VIP, 0, "0bc 2bc", VERDICT_LOSSY, {"1 of 3", "guards it"}},
	{"worker-1", VIP, 0, "0bd 1bd 2bd", VERDICT_STRANGER, {"02:00:00:00:00:0d, which is no node's, has sent the frame"}},
	/* another node */
	{"worker-1", VIP, 0, "0cc 1cc 2cc", VERDICT_WRONG_NODE, {"worker-2 (02:00:00:00:00:0c) answers, but worker-1 owns it", "worker-1 owns it and does not answer"}},
	{"worker-1", VIP, 'b', "0cc 1cc 2cc", VERDICT_WRONG_NODE, {"worker-2 (02:00:00:00:00:0c) answers", "a node does not hear itself"}},
	{"worker-1", VIP, 0, "0bb 0cc 1bb 1cc 2bb 2cc", VERDICT_DUPLICATE, {"worker-2 (02:00:00:00:00:0c) answers (not first) too"}},
	{"worker-1", VIP, 0, "0cc 0bb 1cc 1bb 2cc 2bb", VERDICT_DUPLICATE, {"worker-2 (02:00:00:00:00:0c) answers first too"}},
	{"worker-1", VIP, 0, "0cc 0bb 1bb 1cc 2cc 2bb", VERDICT_DUPLICATE, {"(sometimes first)"}},
	{"worker-1", VIP, 0, "0bb 0bb 1bb 1bb 2bb 2bb", VERDICT_DUPLICATE, {"worker-1 answers 6 times to 3 questions: its kernel"}},
	/* a stranger */
	{"worker-1", VIP, 0, "0dd 0bb 1dd 1bb 2dd 2bb", VERDICT_STRANGER, {"02:00:00:00:00:0d, which is no node's, answers first: clients believe the first"}},
	{"worker-1", VIP, 0, "0bb 0dd 1bb 1dd 2bb 2dd", VERDICT_STRANGER, {"answers (not first): clients believe"}},
	{"worker-1", VIP, 0, "0dd 1dd 2dd", VERDICT_STRANGER, {"02:00:00:00:00:0d", "worker-1 owns it and does not answer"}},
	{"worker-1", VIP, 0, "0dd 0cc 0bb 1bb 2bb", VERDICT_STRANGER, {"02:00:00:00:00:0d", "worker-2"}},
	/* nobody's */
	{NULL, NULL, 0, "", VERDICT_UNOWNED, {"nobody answers: it is free"}},
	{NULL, NULL, 0, "0dd 1dd 2dd", VERDICT_STRANGER, {"02:00:00:00:00:0d, which is no node's, answers, and no node owns the address; before a Service"}},
	{NULL, NULL, 0, "0cc", VERDICT_WRONG_NODE, {"worker-2 (02:00:00:00:00:0c) answers, and no node owns"}},
	{"-", VIP, 0, "0dd 1dd 2dd", VERDICT_STRANGER, {"has it: that is why no node announces it for shop/web; find"}},
	{"-", VIP, 0, "", VERDICT_UNOWNED, {"no node is fit to answer for it (shop/web)"}},
	{"-", VIP, 0, "0cc 1cc 2cc", VERDICT_WRONG_NODE, {"worker-2 (02:00:00:00:00:0c) answers, and no node owns the address"}},
	{NULL, VIP, 0, "", VERDICT_NO_RECORD, {"Service shop/web shows it, but there is no Lease ip-192.168.122.100"}},
	{NULL, VIP, 0, "0dd", VERDICT_STRANGER, {"no node's", "there is no Lease"}},
	{NULL, "192.168.122.101", 0, "", VERDICT_UNOWNED, {"it is free"}},
};

static void run_case(const struct verdict_case *c)
{
	struct model m;
	struct inquiry_answer answers[ANSWERS_MAX];
	struct verification v;
	struct link_info self = {.name = "eth0", .mac = c->self ? mac_of(c->self) : mac_of('e')};
	struct link_table links = {&self, 1};
	model_init(&m, "", false);
	make_nodes(&m);
	if (c->holder)
		support_record(&m, (struct support_record){.address = VIP, .holder = *c->holder == '-' ? "" : c->holder});
	if (c->shown)
		support_service(&m, (struct support_service){.ips = c->shown});
	struct verification_input in = input_of(&m, &links, answers, read_answers(c->answers, answers));
	verification_make(&v, &in);
	if (v.verdict != c->verdict)
		fail_msg("\"%s\": %s instead of %s", c->answers, verdict_name(v.verdict), verdict_name(c->verdict));
	assert_true(verdict_is_right(v.verdict) || v.n_findings > 0);
	for (size_t i = 0; i < 2 && c->says[i]; i++) {
		if (i >= v.n_findings)
			fail_msg("\"%s\": nothing says \"%s\"", c->answers, c->says[i]);
		unit_contains(v.findings[i].text, c->says[i]);
		unit_contains(v.findings[i].text, VIP ": ");
	}
	size_t said = c->says[1] ? 2 : c->says[0] ? 1 : 0;
	if (v.n_findings > said)
		fail_msg("\"%s\": also %s", c->answers, v.findings[said].text);
	verification_free(&v);
	model_free(&m);
}

static void verdicts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++)
		run_case(&CASES[i]);
}

/* Who is known already is kept from Services: that is said of him, and not of another one. */
static void known_stranger(void **state)
{
	(void)state;
	for (int known = 0; known < 2; known++) {
		struct model m;
		struct inquiry_answer answers[ANSWERS_MAX];
		struct verification v;
		struct foreign_record *foreign;
		struct error err;
		struct link_table links = {NULL, 0};
		struct mac mac = mac_of(known ? 'd' : 'e');
		struct address a = support_address(VIP);
		model_init(&m, "", false);
		json_t *body = foreign_record_body(&a, SUPPORT_NS, "", "worker-1", "eth0", &mac, NULL);
		struct lease *lease;
		assert_int_equal(lease_decode(body, &lease, &err), 0);
		assert_int_equal(foreign_record_decode(lease, &foreign, &err), 0);
		model_put_foreign(&m, foreign);
		lease_free(lease);
		json_decref(body);
		struct verification_input in = input_of(&m, &links, answers, read_answers("0dd 1dd 2dd", answers));
		verification_make(&v, &in);
		assert_int_equal(v.verdict, VERDICT_STRANGER);
		assert_int_equal(strstr(v.findings[0].text, "(Lease foreign-192.168.122.100 keeps it from Services)") != NULL, known);
		verification_free(&v);
		model_free(&m);
	}
}

static void without_records(void **state)
{
	static const struct {
		const char *answers;
		enum verdict verdict;
		const char *says;
	} ALONE[] = {
		{"", VERDICT_NO_ANSWER, "nobody answers on eth0"},
		{"0dd 1dd 2dd", VERDICT_ANSWERED, NULL},
		{"0bc 1bc", VERDICT_ANSWERED, NULL},
		{"0bb 0bc", VERDICT_ANSWERED, NULL},
		{"0bb 0cc 1bb 1cc", VERDICT_DUPLICATE, "2 MACs answer"},
		{"0bb 0cc 0bc 1bb 1cc", VERDICT_DUPLICATE, "2 MACs answer"},
	};
	struct link_table links = {NULL, 0};
	(void)state;
	for (size_t i = 0; i < COUNT(ALONE); i++) {
		struct inquiry_answer answers[ANSWERS_MAX];
		struct verification v;
		struct verification_input in = input_of(NULL, &links, answers, read_answers(ALONE[i].answers, answers));
		verification_make(&v, &in);
		assert_int_equal(v.verdict, ALONE[i].verdict);
		assert_int_equal(v.n_findings, ALONE[i].says ? 1 : 0);
		if (ALONE[i].says)
			unit_contains(v.findings[0].text, ALONE[i].says);
		verification_free(&v);
	}
}

static void facts(void **state)
{
	struct model m;
	struct inquiry_answer answers[ANSWERS_MAX];
	struct verification v;
	struct link_table links = {NULL, 0};
	(void)state;
	model_init(&m, "", false);
	make_nodes(&m);
	support_record(&m, (struct support_record){.address = VIP, .holder = "worker-1"});
	struct verification_input in = input_of(&m, &links, answers, read_answers("0dd 0bb 1bb 1bb 1dd 2bc", answers));
	verification_make(&v, &in);
	assert_string_equal(v.owner, "worker-1");
	assert_int_equal(v.n_answerers, 3);   /* in the order in which they were first heard */
	const struct answerer *d = &v.answerers[0], *b = &v.answerers[1], *guard = &v.answerers[2];
	assert_null(d->node);
	assert_int_equal(d->answers, 2);
	assert_int_equal(d->first, 1);
	assert_string_equal(b->node, "worker-1");
	assert_string_equal(b->node_link, "eth0");
	assert_int_equal(b->answers, 3);
	assert_int_equal(b->answered, 2);
	assert_int_equal(b->first, 1);
	assert_int_equal(b->rtt_min, 400);
	assert_int_equal(b->rtt_max, 800);
	assert_int_equal(b->rtt_sum, 1800);
	assert_string_equal(guard->said_by, "worker-2");
	assert_int_equal(guard->first, 1);
	verification_free(&v);
	model_free(&m);
}

/* As both arpings were seen to behave: tests/e2e/test_verify.py compares them. */
static void forecasts(void **state)
{
	static const struct {
		const char *answers, *text;
	} SHOWN[] = {
		{"0bb 1bb 2bb", "arping -c 3 -I eth0 192.168.122.100 would show 3 replies from 02:00:00:00:00:0b"},
		{"", "arping -c 3 -I eth0 192.168.122.100 would show no reply"},
		{"1bb", "arping -c 3 -I eth0 192.168.122.100 would show 1 reply from 02:00:00:00:00:0b"},
		{"0dd 0bb 1dd 1bb 2dd 2bb", "would show 4 replies: 1 from 02:00:00:00:00:0d (first), 3 from 02:00:00:00:00:0b (after a reply it asks only the one that "
					    "replied last); with -b, or as Habets' arping, 6 replies: 3 from 02:00:00:00:00:0d (first), 3 from 02:00:00:00:00:0b"},
		{"0bc 1bc 2bc", "would show 1 reply from 02:00:00:00:00:0b (after a reply it asks only the one that replied last); with -b 3 replies from "
				"02:00:00:00:00:0b; Habets' arping, which names the sender of the frame, 3 replies from 02:00:00:00:00:0c"},
		{"1dd 1bb 2dd 2bb", "would show 3 replies: 1 from 02:00:00:00:00:0d (first), 2 from 02:00:00:00:00:0b (after"},
	};
	(void)state;
	for (size_t i = 0; i < COUNT(SHOWN); i++) {
		struct inquiry_answer answers[ANSWERS_MAX];
		struct arping_forecast f;
		struct buffer text = BUFFER_INIT;
		arping_forecast_make(&f, 0xc0a87a64, "eth0", 3, answers, read_answers(SHOWN[i].answers, answers));
		arping_forecast_text(&f, 0xc0a87a64, "eth0", &text);
		unit_contains(buffer_string(&text), SHOWN[i].text);
		if (strncmp(SHOWN[i].text, "arping", 6) == 0)
			assert_string_equal(buffer_string(&text), SHOWN[i].text);
		buffer_free(&text);
		arping_forecast_free(&f);
	}
}

/* Two addresses, one right and one not, as they are printed. */
static void report(void **state)
{
	struct model m;
	struct inquiry_answer good[ANSWERS_MAX], bad[ANSWERS_MAX];
	struct verification v[2];
	struct arping_forecast f[2];
	struct link_table links = {NULL, 0};
	struct buffer text = BUFFER_INIT;
	(void)state;
	model_init(&m, "", false);
	make_nodes(&m);
	support_record(&m, (struct support_record){.address = VIP, .holder = "worker-1"});
	size_t n_good = read_answers("0bb 1bb 2bb", good), n_bad = read_answers("0dd 0bb 1dd 1bb 2dd 2bb", bad);
	struct verification_input in[] = {input_of(&m, &links, good, n_good), input_of(&m, &links, bad, n_bad)};
	for (int i = 0; i < 2; i++) {
		verification_make(&v[i], &in[i]);
		arping_forecast_make(&f[i], 0xc0a87a64, "eth0", 3, in[i].answers, in[i].n_answers);
	}
	struct verification_report r = {.verifications = v, .forecasts = f, .n = 2, .name_space = "metallb-system"};
	assert_int_equal(verification_table(&r, &text), 1);
	unit_contains(buffer_string(&text), "ADDRESS          OWNER     ANSWERED BY        NODE       LINK  ANSWERS  RTT      VERDICT\n"
					    "192.168.122.100  worker-1  02:00:00:00:00:0b  worker-1   eth0  3/3      0.40 ms  ok\n"
					    "    arping -c 3 -I eth0 192.168.122.100 would show 3 replies");
	unit_contains(buffer_string(&text), "192.168.122.100  worker-1  02:00:00:00:00:0d  (no node)  eth0  3/3      0.60 ms  stranger\n"
					    "                           02:00:00:00:00:0b  worker-1   eth0  3/3      0.80 ms\n"
					    "    192.168.122.100: 02:00:00:00:00:0d, which is no node's");
	unit_contains(buffer_string(&text), "\n2 addresses: 1 right, 1 wrong\n");
	assert_null(strchr(buffer_string(&text), '\033'));
	buffer_reset(&text, 0);
	r.colour = true;
	verification_table(&r, &text);
	unit_contains(buffer_string(&text), "\033[32mok\033[0m\n");
	unit_contains(buffer_string(&text), "\033[31mstranger\033[0m\n");
	buffer_reset(&text, 0);
	assert_int_equal(verification_json(&r, &text), 1);
	json_t *json = json_loads(buffer_string(&text), 0, NULL), *second = json_array_get(json_object_get(json, "addresses"), 1);
	assert_true(json_is_false(json_object_get(json, "right")));
	assert_string_equal(json_string_value(json_object_get(second, "verdict")), "stranger");
	assert_int_equal(json_array_size(json_object_get(second, "answers")), 2);
	json_decref(json);
	buffer_free(&text);
	for (int i = 0; i < 2; i++) {
		verification_free(&v[i]);
		arping_forecast_free(&f[i]);
	}
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verdicts), cmocka_unit_test(known_stranger), cmocka_unit_test(without_records), cmocka_unit_test(facts), cmocka_unit_test(forecasts), cmocka_unit_test(report),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
