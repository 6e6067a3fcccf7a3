/* Which Service gets which address: metallb-l2.md section 2, design.md section 4. Each row is a cluster and the plan for it. */
#include "config/base/clock.h"
#include "speaker/allocator.h"
#include "speaker/sharing.h"
#include "tests/unit/support.h"

#define POOL_51 "'addresses': ['192.168.122.100-192.168.122.150']"
#define IPS(text) "'" ANNOTATION_IPS "': '" text "'"
#define FROM(pool) "'" ANNOTATION_FROM_POOL "': '" pool "'"
#define ASKS(pool) "'" ANNOTATION_POOL "': '" pool "'"
#define DUAL ", 'clusterIPs': ['10.96.0.1', 'fd96::1']"

struct pool_row {
	const char *name, *spec;
};

struct row {
	const char *what;
	struct pool_row pools[3];             /* none: p = 10.0.0.1-10.0.0.3 */
	struct support_service services[3];
	struct support_record records[4];
	const char *plan;                     /* as described() writes it */
	const char *says;                     /* part of the only complaint */
};

static void append(char **text, const char *part)
{
	char *longer = mem_printf("%s%s%s", *text, **text && *part != ',' ? "; " : "", part);
	free(*text);
	*text = longer;
}

static void add(char **text, const char *format, const char *value)
{
	char *part = mem_printf("%s%s%s", *text, format, value);
	free(*text);
	*text = part;
}

static void describe_one(char **text, const struct allocation *a)
{
	static const char *const STEPS[] = {"settled", "create", "join", "status"};
	char ip[ADDRESS_TEXT];
	char *line = mem_printf("%s %s", strchr(a->service, '/') + 1, STEPS[a->step]);
	append(text, line);
	free(line);
	if (a->step == ALLOCATION_CREATE || a->step == ALLOCATION_JOIN)
		add(text, " ", address_format(&a->address, ip));
	for (size_t i = 0; a->step == ALLOCATION_STATUS && i < a->n; i++)
		add(text, i ? "," : " ", address_format(&a->addresses[i], ip));
	if (a->step == ALLOCATION_STATUS)
		add(text, " of ", a->pool ? a->pool : "nothing");
	for (size_t i = 0; i < a->n_notices; i++)
		add(text, i ? ", " : " (", a->notices[i].reason);
	if (a->n_notices)
		add(text, ")", "");
}

/* "web create 10.0.0.1; git status 10.0.0.2 of p; api settled (AllocationFailed); surplus 10.0.0.3"; to free(). */
static char *described(struct allocator *a, const char *says)
{
	const struct allocation *one;
	char *text = mem_strdup(""), ip[ADDRESS_TEXT];
	int64_t wake;
	bool said = false;
	allocator_plan(a, 1, &wake);
	while ((one = allocator_next_news(a))) {
		describe_one(&text, one);
		for (size_t i = 0; i < one->n_notices; i++) {
			said |= says && strstr(one->notices[i].text, says);
			assert_null(strchr(one->notices[i].text, '\n'));
			assert_int_equal(one->notices[i].warning, strcmp(one->notices[i].reason, "ClearAssignment") != 0);
		}
	}
	if (says && !said)
		fail_msg("nobody said \"%s\"", says);
	for (const struct record *r = allocator_next_release(a, NULL); r; r = allocator_next_release(a, &r->address)) {
		char *line = mem_printf("surplus %s", address_format(&r->address, ip));
		append(&text, line);
		free(line);
	}
	return text;
}

static void check(const struct row *row)
{
	struct model m;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	if (!row->pools[0].name)
		support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.3']");
	for (size_t i = 0; i < COUNT(row->pools) && row->pools[i].name; i++)
		if (*row->pools[i].name)
			support_pool(&m, row->pools[i].name, row->pools[i].spec);
	for (size_t i = 0; i < COUNT(row->services) && row->services[i].name; i++)
		support_service(&m, row->services[i]);
	for (size_t i = 0; i < COUNT(row->records) && row->records[i].address; i++)
		support_record(&m, row->records[i]);
	char *got = described(a, row->says);
	if (strcmp(got, row->plan) != 0)
		fail_msg("%s:\n  got    %s\n  wanted %s", row->what, got, row->plan);
	if (row->says && !strchr(got, '('))
		fail_msg("%s: nothing was said", row->what);
	free(got);
	allocator_free(a);
	model_free(&m);
}

static void check_all(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++)
		check(&rows[i]);
}

/* ---- choosing ---- */

static void chooses(void **state)
{
	static const struct row ROWS[] = {
		{"nothing to do", .plan = ""},
		{"the lowest", .services = {{.name = "web"}}, .plan = "web create 10.0.0.1"},
		{"the lowest that no record has", .services = {{.name = "web"}}, .records = {{.address = "10.0.0.1", .services = "a/b", .class = "other"}}, .plan = "web create 10.0.0.2"},
		{"in no status either, ours or not", .services = {{.name = "web"}, {.name = "x", .spec = ", 'loadBalancerClass': 'x/y'", .ips = "10.0.0.1"}}, .plan = "web create 10.0.0.2"},
		{"one that is going, but held, keeps it", .services = {{.name = "web"}, {.name = "x", .meta = ", 'deletionTimestamp': '2026-01-02T00:00:00Z'", .ips = "10.0.0.1"}},
		 .plan = "x create 10.0.0.1; web create 10.0.0.2"},
		{"... and gets nothing new", .services = {{.name = "x", .meta = ", 'deletionTimestamp': '2026-01-02T00:00:00Z'"}}, .plan = ""},
		{"the older first", .services = {{.name = "a", .created = "00:00:02"}, {.name = "z", .created = "00:00:01"}}, .plan = "z create 10.0.0.1; a create 10.0.0.2"},
		{"of one age by name", .services = {{.name = "b"}, {.name = "a"}}, .plan = "a create 10.0.0.1; b create 10.0.0.2"},
		{"who has one re-asserts it first", .services = {{.name = "a"}, {.name = "b", .ips = "10.0.0.1", .created = "09:00:00"}},
		 .plan = "b create 10.0.0.1; a create 10.0.0.2"},
		{"ranges in the order of the pool", .pools = {{"p", "'addresses': ['10.0.9.7-10.0.9.7', '10.0.0.1-10.0.0.1']"}}, .services = {{.name = "a"}, {.name = "b"}, {.name = "c"}},
		 .plan = "a create 10.0.9.7; b create 10.0.0.1; c settled (AllocationFailed)"},
		{"not the first or last of a CIDR", .pools = {{"p", "'addresses': ['10.0.0.0/31']"}}, .services = {{.name = "a"}, {.name = "b"}}, .plan = "a create 10.0.0.0; b create 10.0.0.1"},
		{"avoidBuggyIPs", .pools = {{"p", "'addresses': ['10.0.0.254-10.0.1.1'], 'avoidBuggyIPs': true"}}, .services = {{.name = "a"}, {.name = "b"}, {.name = "c"}},
		 .plan = "a create 10.0.0.254; b create 10.0.1.1; c settled (AllocationFailed)", .says = "no free address in pool p ("},
		{"its own pool is full", .pools = {{"mine", "'addresses': ['10.0.0.1/32'], 'serviceAllocation': {'namespaces': ['shop']}"}}, .services = {{.name = "a"}},
		 .records = {{.address = "10.0.0.1", .services = "a/b", .class = "other"}}, .plan = "a settled (AllocationFailed)", .says = "no free address in pool mine (1 of 1 in use)"},
		{"the end of the address space", .pools = {{"p", "'addresses': ['255.255.255.254/31']"}}, .services = {{.name = "a"}, {.name = "b"}, {.name = "c"}},
		 .plan = "a create 255.255.255.254; b create 255.255.255.255; c settled (AllocationFailed)"},
		{"not ours: class", .services = {{.name = "a", .spec = ", 'loadBalancerClass': 'x/y'"}, {.name = "b", .spec = ", 'type': 'NodePort'"}}, .plan = ""},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

static void pools(void **state)
{
#define OLD "p", "'addresses': ['10.0.0.1-10.0.0.3']"
	static const struct row ROWS[] = {
		{"autoAssign: false is not tried", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}, {OLD}}, .services = {{.name = "web"}}, .plan = "web create 10.0.0.1"},
		{"... unless asked for by name", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}, {OLD}}, .services = {{.name = "web", .annotations = ASKS("a")}},
		 .plan = "web create 10.1.0.0"},
		{"... or by address", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}, {OLD}}, .services = {{.name = "web", .annotations = IPS("10.1.0.7")}},
		 .plan = "web create 10.1.0.7"},
		{"only such pools", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}}, .services = {{.name = "web"}}, .plan = "web settled (AllocationFailed)",
		 .says = "Service shop/web: no pool may be used for it automatically"},
		{"by name, not by age or range", .pools = {{"z", "'addresses': ['10.0.0.0/24']"}, {"a", "'addresses': ['10.1.0.0/24']"}}, .services = {{.name = "web"}}, .plan = "web create 10.1.0.0"},
		{"restricted ones first, by priority", .pools = {{"a", "'addresses': ['10.1.0.0/24']"}, {"y", "'addresses': ['10.2.0.0/24'], 'serviceAllocation': {'priority': 20}"},
			{"z", "'addresses': ['10.3.0.0/24'], 'serviceAllocation': {'priority': 10}"}}, .services = {{.name = "web"}}, .plan = "web create 10.3.0.0"},
		{"the next pool when one is full", .pools = {{"a", "'addresses': ['10.1.0.0/32']"}, {"b", "'addresses': ['10.2.0.0/32']"}}, .services = {{.name = "a"}, {.name = "b"}, {.name = "c"}},
		 .plan = "a create 10.1.0.0; b create 10.2.0.0; c settled (AllocationFailed)", .says = "no free address in 2 pools ("},
		{"a namespace that is not admitted", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'serviceAllocation': {'namespaces': ['ops']}"}, {OLD}}, .services = {{.name = "web"}},
		 .plan = "web create 10.0.0.1"},
		{"... may not ask for the pool", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'serviceAllocation': {'namespaces': ['ops']}"}, {OLD}},
		 .services = {{.name = "web", .annotations = ASKS("a")}}, .plan = "web settled (AllocationFailed)", .says = "pool a is not compatible with this Service"},
		{"... nor for its addresses", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'serviceAllocation': {'namespaces': ['ops']}"}, {OLD}},
		 .services = {{.name = "web", .annotations = IPS("10.1.0.1")}}, .plan = "web settled (AllocationFailed)", .says = "pool a is not compatible with this Service"},
		{"serviceSelectors", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'serviceAllocation': {'serviceSelectors': [{'matchLabels': {'tier': 'gold'}}]}"}, {OLD}},
		 .services = {{.name = "web"}, {.name = "x", .labels = "'tier': 'gold'"}}, .plan = "web create 10.0.0.1; x create 10.1.0.0"},
		{"a pool that does not exist", .services = {{.name = "web", .annotations = ASKS("gold")}}, .plan = "web settled (AllocationFailed)", .says = "unknown pool \"gold\""},
		{"no fallback from a full one", .pools = {{"a", "'addresses': ['10.1.0.0/32']"}, {OLD}}, .services = {{.name = "web", .annotations = ASKS("a")}},
		 .records = {{.address = "10.1.0.0", .services = "x/y", .class = "other"}}, .plan = "web settled (AllocationFailed)", .says = "no free address in pool a (1 of 1 in use)"},
		{"the old annotation", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}}, .services = {{.name = "web", .annotations = "'" ANNOTATION_OLD_POOL "': 'a'"}}, .plan = "web create 10.1.0.0"},
		{"the new one wins, empty too", .pools = {{"a", "'addresses': ['10.1.0.0/24'], 'autoAssign': false"}, {OLD}},
		 .services = {{.name = "web", .annotations = "'" ANNOTATION_OLD_POOL "': 'a', " ASKS("")}}, .plan = "web create 10.0.0.1"},
		{"no pool at all", .pools = {{"", ""}}, .services = {{.name = "web"}}, .plan = "web settled (AllocationFailed)", .says = "there is no IPAddressPool; create one"},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

static void requests(void **state)
{
	static const struct row ROWS[] = {
		{"by annotation", .services = {{.name = "web", .annotations = IPS("10.0.0.3")}}, .plan = "web create 10.0.0.3"},
		{"by the old one", .services = {{.name = "web", .annotations = "'" ANNOTATION_OLD_IPS "': '10.0.0.3'"}}, .plan = "web create 10.0.0.3"},
		{"by spec.loadBalancerIP", .services = {{.name = "web", .spec = ", 'loadBalancerIP': '10.0.0.3'"}}, .plan = "web create 10.0.0.3"},
		{"by both", .services = {{.name = "web", .annotations = IPS("10.0.0.3"), .spec = ", 'loadBalancerIP': '10.0.0.3'"}}, .plan = "web settled (AllocationFailed)", .says = "both spec.loadBalancerIP and"},
		{"blanks around it", .services = {{.name = "web", .annotations = IPS("  10.0.0.3 ")}}, .plan = "web create 10.0.0.3"},
		{"two without a comma", .services = {{.name = "web", .annotations = IPS("10.0.0.3 10.0.0.2")}}, .plan = "web settled (AllocationFailed)", .says = "is not an IP address"},
		{"nonsense", .services = {{.name = "web", .annotations = IPS("nonsense")}}, .plan = "web settled (AllocationFailed)", .says = "\"nonsense\" is not an IP address"},
		{"long nonsense", .services = {{.name = "web", .annotations = IPS("10.0.0.10000000000000000000000000000000000000000000000000")}}, .plan = "web settled (AllocationFailed)", .says = "is not an IP address"},
		{"two of a family", .services = {{.name = "web", .annotations = IPS("10.0.0.3,10.0.0.2")}}, .plan = "web settled (AllocationFailed)", .says = "two addresses of one family"},
		{"three", .services = {{.name = "web", .annotations = IPS("10.0.0.3,fd00::1,fd00::2"), .spec = DUAL}}, .plan = "web settled (AllocationFailed)", .says = "at most one address per family"},
		{"the wrong family", .services = {{.name = "web", .annotations = IPS("fd00::1")}}, .plan = "web settled (AllocationFailed)", .says = "requested address(es) fd00::1 do not match the ipFamily"},
		{"in no pool", .services = {{.name = "web", .annotations = IPS("10.0.0.9")}}, .plan = "web settled (AllocationFailed)", .says = "10.0.0.9 is in no pool"},
		{"a buggy one", .pools = {{"p", "'addresses': ['10.0.0.0/24'], 'avoidBuggyIPs': true"}}, .services = {{.name = "web", .annotations = IPS("10.0.0.255")}},
		 .plan = "web settled (AllocationFailed)", .says = "10.0.0.255 is in no pool"},
		{"in another pool than asked for", .pools = {{OLD}, {"q", "'addresses': ['10.1.0.0/24']"}}, .services = {{.name = "web", .annotations = IPS("10.0.0.3") ", " ASKS("q")}},
		 .plan = "web settled (AllocationFailed)", .says = "10.0.0.3 is not in pool q"},
		{"in use", .services = {{.name = "web", .annotations = IPS("10.0.0.2")}}, .records = {{.address = "10.0.0.2", .services = "ops/git", .class = "other"}},
		 .plan = "web settled (AllocationFailed)", .says = "10.0.0.2 is in use by another installation"},
		{"in use, by status", .services = {{.name = "web", .annotations = IPS("10.0.0.2")}, {.name = "x", .ips = "10.0.0.2"}}, .plan = "x create 10.0.0.2; web settled (AllocationFailed)",
		 .says = "10.0.0.2 is in use by shop/x"},
		{"another than it has", .services = {{.name = "web", .annotations = IPS("10.0.0.2") ", " FROM("p"), .ips = "10.0.0.1"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web create 10.0.0.2"},
		{"... then the status, the old record stays until it is written", .services = {{.name = "web", .annotations = IPS("10.0.0.2") ", " FROM("p"), .ips = "10.0.0.1"}},
		 .records = {{.address = "10.0.0.1"}, {.address = "10.0.0.2"}}, .plan = "web status 10.0.0.2 of p"},
		{"... then the old record goes", .services = {{.name = "web", .annotations = IPS("10.0.0.2") ", " FROM("p"), .ips = "10.0.0.2"}},
		 .records = {{.address = "10.0.0.1"}, {.address = "10.0.0.2"}}, .plan = "web settled; surplus 10.0.0.1"},
		{"it keeps what it has while the other is in use", .services = {{.name = "web", .annotations = IPS("10.0.0.2") ", " FROM("p"), .ips = "10.0.0.1"}, {.name = "x", .annotations = FROM("p"), .ips = "10.0.0.2"}},
		 .records = {{.address = "10.0.0.1"}, {.address = "10.0.0.2", .services = "shop/x", .uids = "u-x"}}, .plan = "web settled (LoadBalancerFailed); x settled",
		 .says = "10.0.0.2 is in use by shop/x"},
		{"it keeps what it has when it asks for nonsense", .services = {{.name = "web", .annotations = IPS("nonsense") ", " FROM("p"), .ips = "10.0.0.1"}}, .records = {{.address = "10.0.0.1"}},
		 .plan = "web settled (LoadBalancerFailed)"},
		{"another pool than it is in", .pools = {{OLD}, {"q", "'addresses': ['10.1.0.0/24']"}}, .services = {{.name = "web", .annotations = ASKS("q") ", " FROM("p"), .ips = "10.0.0.1"}},
		 .records = {{.address = "10.0.0.1"}}, .plan = "web create 10.1.0.0 (ClearAssignment)"},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

/* ---- keeping, and after a crash ---- */

static void keeps(void **state)
{
	static const struct row ROWS[] = {
		{"all is well", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3"}}, .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"the pool's name is missing", .services = {{.name = "web", .ips = "10.0.0.3"}}, .records = {{.address = "10.0.0.3"}}, .plan = "web status 10.0.0.3 of p"},
		{"the pool has another name now", .services = {{.name = "web", .annotations = FROM("old"), .ips = "10.0.0.3"}}, .records = {{.address = "10.0.0.3"}}, .plan = "web status 10.0.0.3 of p"},
		{"a better pool does not move it", .pools = {{OLD}, {"a", "'addresses': ['10.1.0.0/24'], 'serviceAllocation': {'priority': 1}"}},
		 .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3"}}, .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"nor does autoAssign: false", .pools = {{"p", "'addresses': ['10.0.0.1-10.0.0.3'], 'autoAssign': false"}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3"}},
		 .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"in no pool any more", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.9.9.9"}}, .records = {{.address = "10.9.9.9"}}, .plan = "web create 10.0.0.1 (ClearAssignment)", .says = "10.9.9.9 is in no pool"},
		{"... and nothing is free: cleared", .pools = {{"p", "'addresses': ['10.0.0.1/32']"}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.9.9.9"}},
		 .records = {{.address = "10.9.9.9"}, {.address = "10.0.0.1", .services = "a/b", .class = "other"}}, .plan = "web status of nothing (ClearAssignment, AllocationFailed)"},
		{"no pools left", .pools = {{"", ""}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.1"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web status of nothing (ClearAssignment, AllocationFailed)"},
		{"buggy now", .pools = {{"p", "'addresses': ['10.0.0.0-10.0.0.3'], 'avoidBuggyIPs': true"}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.0"}},
		 .records = {{.address = "10.0.0.0"}}, .plan = "web create 10.0.0.1 (ClearAssignment)"},
		{"not admitted any more", .pools = {{"p", "'addresses': ['10.0.0.1-10.0.0.3'], 'serviceAllocation': {'namespaces': ['ops']}"}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.1"}},
		 .records = {{.address = "10.0.0.1"}}, .plan = "web status of nothing (ClearAssignment, AllocationFailed)"},
		{"a hostname beside it is removed, the address stays", .services = {{.name = "web", .annotations = FROM("p"), .status = "{'ip': '10.0.0.3'}, {'hostname': 'a.b'}"}}, .records = {{.address = "10.0.0.3"}},
		 .plan = "web status 10.0.0.3 of p"},
		{"no address at all", .services = {{.name = "web", .annotations = FROM("p"), .status = "{'ip': 'nonsense'}"}}, .plan = "web create 10.0.0.1 (nolbIPsIPFamily)"},
		{"only a hostname: as if there were none", .services = {{.name = "web", .status = "{'hostname': 'a.b'}"}}, .plan = "web create 10.0.0.1"},
		{"two of one family", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3,10.0.0.2"}}, .records = {{.address = "10.0.0.3"}, {.address = "10.0.0.2"}},
		 .plan = "web status 10.0.0.2 of p (nolbIPsIPFamily)"},
		{"no cluster IP any more: cleared", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3", .spec = ", 'clusterIPs': ['None']"}}, .records = {{.address = "10.0.0.3"}},
		 .plan = "web status of nothing (noclusterIPsIPFamily)", .says = "it has no cluster IP of a known family"},
		{"one of its two is in no pool any more", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3,fd00::9", .spec = DUAL ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .records = {{.address = "10.0.0.3"}, {.address = "fd00::9"}},
		 .plan = "web status 10.0.0.3 of p"},
		{"its pool is broken: it keeps what it has", .pools = {{"q", "'addresses': ['10.1.0.0/24']"}, {"z", "'addresses': ['10.0.0.1-10.0.0.3', '10.1.0.0/24']"}}, .services = {{.name = "web", .annotations = FROM("z"), .ips = "10.0.0.3"}},
		 .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"... also when it asks for that pool", .pools = {{"q", "'addresses': ['10.1.0.0/24']"}, {"z", "'addresses': ['10.0.0.1-10.0.0.3', '10.1.0.0/24']"}}, .services = {{.name = "web", .annotations = FROM("z") ", " ASKS("z"), .ips = "10.0.0.3"}},
		 .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"... but not when it asks for another one", .pools = {{"q", "'addresses': ['10.1.0.0/24']"}, {"z", "'addresses': ['10.0.0.1-10.0.0.3', '10.1.0.0/24']"}}, .services = {{.name = "web", .annotations = FROM("z") ", " ASKS("q"), .ips = "10.0.0.3"}},
		 .records = {{.address = "10.0.0.3"}}, .plan = "web create 10.1.0.0 (ClearAssignment)"},
		{"what only a record names is not missed", .services = {{.name = "web"}}, .records = {{.address = "10.9.9.9"}}, .plan = "web create 10.0.0.1; surplus 10.9.9.9"},
		{"no cluster IP", .services = {{.name = "web", .spec = ", 'clusterIPs': []"}}, .plan = "web settled (noclusterIPsIPFamily)", .says = "it has no cluster IP"},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

static void crashes(void **state)
{
	static const struct row ROWS[] = {
		{"between record and status", .services = {{.name = "web"}}, .records = {{.address = "10.0.0.2"}}, .plan = "web status 10.0.0.2 of p"},
		{"an older one does not get its address", .services = {{.name = "a"}, {.name = "web", .created = "09:00:00"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web status 10.0.0.1 of p; a create 10.0.0.2"},
		{"a status without a record", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3"}}, .plan = "web create 10.0.0.3"},
		{"a record without a Service", .records = {{.address = "10.0.0.3"}}, .plan = "surplus 10.0.0.3"},
		{"a record of a Service that is going", .services = {{.name = "web", .meta = ", 'deletionTimestamp': '2026-01-02T00:00:00Z'", .annotations = FROM("p"), .ips = "10.0.0.3"}},
		 .records = {{.address = "10.0.0.3"}}, .plan = "web settled"},
		{"... whose status never showed it", .services = {{.name = "web", .meta = ", 'deletionTimestamp': '2026-01-02T00:00:00Z'"}}, .records = {{.address = "10.0.0.3"}}, .plan = "surplus 10.0.0.3"},
		{"two records for one address's worth", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.3"}}, .records = {{.address = "10.0.0.3"}, {.address = "10.0.0.1"}},
		 .plan = "web settled; surplus 10.0.0.1"},
		{"two records and no status: the lowest", .services = {{.name = "web"}}, .records = {{.address = "10.0.0.3"}, {.address = "10.0.0.2"}, {.address = "10.0.0.1", .services = "a/b", .class = "other"}},
		 .plan = "web status 10.0.0.2 of p; surplus 10.0.0.3"},
		{"the Service was made anew", .services = {{.name = "web", .uid = "u2"}}, .records = {{.address = "10.0.0.2"}}, .plan = "web join 10.0.0.2"},
		{"a record without uids", .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.2"}}, .records = {{.address = "10.0.0.2", .uids = ""}}, .plan = "web join 10.0.0.2"},
		{"one address in two statuses: the older keeps it", .services = {{.name = "a", .annotations = FROM("p"), .ips = "10.0.0.1", .created = "02:00:00"}, {.name = "z", .annotations = FROM("p"), .ips = "10.0.0.1", .created = "01:00:00"}},
		 .plan = "z create 10.0.0.1; a create 10.0.0.2 (ClearAssignment)", .says = "Service shop/a: it cannot keep 10.0.0.1, which is in use by shop/z"},
		{"... unless the record knows better", .services = {{.name = "a", .annotations = FROM("p"), .ips = "10.0.0.1", .created = "02:00:00"}, {.name = "z", .annotations = FROM("p"), .ips = "10.0.0.1", .created = "01:00:00"}},
		 .records = {{.address = "10.0.0.1", .services = "shop/a", .uids = "u-a"}}, .plan = "z create 10.0.0.2 (ClearAssignment); a settled", .says = "Service shop/z: it cannot keep 10.0.0.1, which is in use by shop/a"},
		{"not written while another still shows it", .services = {{.name = "a", .annotations = FROM("p"), .ips = "10.0.0.1"}, {.name = "web"}}, .records = {{.address = "10.0.0.1"}},
		 .plan = "a create 10.0.0.2 (ClearAssignment); web settled"},
		{"another address when a stranger's status shows it", .services = {{.name = "x", .spec = ", 'loadBalancerClass': 'x/y'", .ips = "10.0.0.1"}, {.name = "web"}}, .records = {{.address = "10.0.0.1"}},
		 .plan = "web create 10.0.0.2; surplus 10.0.0.1"},
		{"another installation's", .services = {{.name = "web"}}, .records = {{.address = "10.0.0.1", .services = "a/b", .class = "other"}, {.address = "10.0.0.2", .services = "", .class = "other"}},
		 .plan = "web create 10.0.0.3"},
		{"one that names nobody", .services = {{.name = "web"}}, .records = {{.address = "10.0.0.1", .services = ""}}, .plan = "web create 10.0.0.2; surplus 10.0.0.1"},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

static void two_families(void **state)
{
#define BOTH "p", "'addresses': ['10.0.0.1-10.0.0.3', 'fd00::1-fd00::3']"
	static const struct row ROWS[] = {
		{"IPv6", .pools = {{BOTH}}, .services = {{.name = "web", .spec = ", 'clusterIPs': ['fd96::1']"}}, .plan = "web create fd00::1"},
		{"both, IPv4 first", .pools = {{BOTH}}, .services = {{.name = "web", .spec = ", 'clusterIPs': ['fd96::1', '10.96.0.1'], 'ipFamilyPolicy': 'RequireDualStack'"}}, .plan = "web create 10.0.0.1"},
		{"... then IPv6", .pools = {{BOTH}}, .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'RequireDualStack'"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web create fd00::1"},
		{"... then the status", .pools = {{BOTH}}, .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'RequireDualStack'"}}, .records = {{.address = "fd00::1"}, {.address = "10.0.0.1"}},
		 .plan = "web status 10.0.0.1,fd00::1 of p (ipv6NotAnnounced)"},
		{"what it shows stays first", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "fd00::1", .spec = DUAL ", 'ipFamilyPolicy': 'RequireDualStack'"}},
		 .records = {{.address = "fd00::1"}, {.address = "10.0.0.1"}}, .plan = "web status fd00::1,10.0.0.1 of p (ipv6NotAnnounced)"},
		{"... and nothing else is turned round", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.1", .spec = DUAL ", 'ipFamilyPolicy': 'RequireDualStack'"}},
		 .records = {{.address = "fd00::1"}, {.address = "10.0.0.1"}}, .plan = "web status 10.0.0.1,fd00::1 of p (ipv6NotAnnounced)"},
		{"its family is none of its own any more", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "fd00::1"}}, .records = {{.address = "fd00::1"}},
		 .plan = "web create 10.0.0.1 (ClearAssignment)", .says = "the address families of its status and its cluster IPs differ"},
		{"preferred: both, too", .pools = {{BOTH}}, .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web create fd00::1"},
		{"preferred: one if there is no other", .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .plan = "web create 10.0.0.1"},
		{"... and its status", .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web status 10.0.0.1 of p"},
		{"preferred: the pool that has both goes first", .pools = {{"a", "'addresses': ['10.1.0.0/24']"}, {BOTH}}, .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .plan = "web create 10.0.0.1"},
		{"required, but there is no IPv6", .services = {{.name = "web", .spec = DUAL ", 'ipFamilyPolicy': 'RequireDualStack'"}}, .plan = "web settled (AllocationFailed)"},
		{"required with one cluster IP", .pools = {{BOTH}}, .services = {{.name = "web", .spec = ", 'ipFamilyPolicy': 'RequireDualStack'"}}, .plan = "web settled (not enough clusterips)", .says = "RequireDualStack but it does not have two cluster IPs"},
		{"preferred with one cluster IP", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = FROM("p"), .ips = "10.0.0.1", .spec = ", 'ipFamilyPolicy': 'PreferDualStack'"}}, .records = {{.address = "10.0.0.1"}}, .plan = "web settled"},
		{"asked for in any order", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = IPS("fd00::3, 10.0.0.3"), .spec = DUAL}}, .plan = "web create fd00::3"},
		{"of two pools", .pools = {{OLD}, {"q", "'addresses': ['fd00::/120']"}}, .services = {{.name = "web", .annotations = IPS("10.0.0.3,fd00::3"), .spec = DUAL}}, .plan = "web settled (AllocationFailed)",
		 .says = "its addresses are in different pools"},
		{"both cluster IPs, one asked for", .pools = {{BOTH}}, .services = {{.name = "web", .annotations = IPS("10.0.0.3"), .spec = DUAL}}, .plan = "web settled (AllocationFailed)", .says = "do not match the ipFamily"},
	};
	(void)state;
	check_all(ROWS, COUNT(ROWS));
}

/* ---- over several plans ---- */

static void plan(struct allocator *a)
{
	int64_t wake;
	allocator_plan(a, 1, &wake);
	while (allocator_next_news(a))
		;
}

static void is_plan(struct allocator *a, const char *service, const char *wanted)
{
	char *text = mem_strdup("");
	plan(a);
	const struct allocation *one = allocator_find(a, service);
	assert_non_null(one);
	describe_one(&text, one);
	assert_string_equal(text, wanted);
	free(text);
}

static void exhaustion(void **state)
{
	struct model m;
	(void)state;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	support_pool(&m, "default-pool", POOL_51);
	for (unsigned i = 0; i < 51; i++) {
		char name[16], ip[32], key[32], uid[32];
		snprintf(name, sizeof(name), "s%02u", i);
		snprintf(ip, sizeof(ip), "192.168.122.%u", 100 + i);
		snprintf(key, sizeof(key), "shop/%s", name);
		snprintf(uid, sizeof(uid), "u-%s", name);
		support_service(&m, (struct support_service){.name = name, .annotations = FROM("default-pool"), .ips = ip});
		support_record(&m, (struct support_record){.address = ip, .services = key, .uids = uid});
	}
	support_service(&m, (struct support_service){.name = "web"});
	is_plan(a, "shop/web", "web settled (AllocationFailed)");
	assert_null(allocator_next_open(a, NULL));
	assert_string_equal(allocator_find(a, "shop/web")->notices[0].text,
			    "Service shop/web: no free address in pool default-pool (51 of 51 in use); enlarge the pool or delete a Service");
	assert_int_equal(allocator_in_use(a, "default-pool", ADDRESS_V4), 51);
	assert_int_equal(allocator_in_use(a, "default-pool", ADDRESS_V6), 0);
	assert_int_equal(allocator_waiting(a), 1);
	assert_int_equal(allocator_services(a, "default-pool"), 51);
	assert_int_equal(allocator_services(a, "other"), 0);
	/* One is freed: the record goes first, then its address is given to who waits. */
	struct address freed = support_address("192.168.122.107");
	model_drop_service(&m, "shop/s07");
	is_plan(a, "shop/web", "web settled (AllocationFailed)");
	const struct record *surplus = allocator_next_release(a, NULL);
	assert_true(address_equal(&surplus->address, &freed));
	assert_null(allocator_next_release(a, &freed));
	model_drop_record(&m, &freed);
	is_plan(a, "shop/web", "web create 192.168.122.107");
	assert_null(allocator_find(a, "shop/s07"));
	assert_int_equal(allocator_waiting(a), 0);
	allocator_free(a);
	model_free(&m);
}

/* A creation under way keeps its address; one that nobody wants any more does not. */
static void reservations(void **state)
{
	struct model m;
	struct address first = support_address("10.0.0.1");
	(void)state;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.3']");
	support_service(&m, (struct support_service){.name = "m", .created = "05:00:00"});
	is_plan(a, "shop/m", "m create 10.0.0.1");
	support_service(&m, (struct support_service){.name = "a", .created = "01:00:00"});   /* older, seen later */
	is_plan(a, "shop/a", "a create 10.0.0.2");
	is_plan(a, "shop/m", "m create 10.0.0.1");
	/* 409: somebody else has it */
	support_record(&m, (struct support_record){.address = "10.0.0.1", .services = "x/y", .class = "other"});
	is_plan(a, "shop/m", "m create 10.0.0.3");
	is_plan(a, "shop/a", "a create 10.0.0.2");
	/* the Service goes before its creation was even sent */
	model_drop_service(&m, "shop/m");
	support_service(&m, (struct support_service){.name = "n", .annotations = IPS("10.0.0.3")});
	is_plan(a, "shop/n", "n create 10.0.0.3");
	/* it asks for another address while the first is being created */
	model_drop_record(&m, &first);
	support_service(&m, (struct support_service){.name = "a", .created = "01:00:00", .version = 2, .annotations = IPS("10.0.0.1")});
	is_plan(a, "shop/a", "a create 10.0.0.1");
	support_service(&m, (struct support_service){.name = "o", .created = "06:00:00"});
	is_plan(a, "shop/o", "o create 10.0.0.2");
	/* a lower one that becomes free does not disturb who is under way */
	model_drop_service(&m, "shop/a");
	is_plan(a, "shop/o", "o create 10.0.0.2");
	support_service(&m, (struct support_service){.name = "o", .created = "06:00:00", .version = 2});
	is_plan(a, "shop/o", "o create 10.0.0.2");
	/* a status write under way keeps its address, whatever becomes of its Service */
	struct address second = support_address("10.0.0.2");
	allocator_writing(a, "shop/o", &second, 1);
	model_drop_service(&m, "shop/o");
	support_service(&m, (struct support_service){.name = "q", .annotations = IPS("10.0.0.2")});
	is_plan(a, "shop/q", "q settled (AllocationFailed)");
	allocator_writing(a, "shop/o", NULL, 0);
	is_plan(a, "shop/q", "q create 10.0.0.2");
	allocator_free(a);
	model_free(&m);
}

#define SHARED(ip) "'" ANNOTATION_SHARE "': 'k', '" ANNOTATION_IPS "': '" ip "'"
#define LOCAL ", 'externalTrafficPolicy': 'Local'"
#define PORT_81 ", 'clusterIPs': ['10.96.0.1'], 'ports': [{'port': 81}]"

/* Whoever waits for an address, a record or a status write of another goes on in the same plan. */
static void waiters(void **state)
{
	struct model m;
	struct address first = support_address("10.0.0.1"), second = support_address("10.0.0.2");
	(void)state;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.2']");
	support_service(&m, (struct support_service){.name = "a", .annotations = SHARED("10.0.0.1")});
	support_service(&m, (struct support_service){.name = "b", .created = "02:00:00", .annotations = SHARED("10.0.0.1"), .spec = PORT_81});
	is_plan(a, "shop/a", "a create 10.0.0.1");
	is_plan(a, "shop/b", "b settled");   /* a creates the record, and b joins it */
	support_service(&m, (struct support_service){.name = "a", .version = 2, .annotations = SHARED("10.0.0.2")});
	is_plan(a, "shop/a", "a create 10.0.0.2");
	is_plan(a, "shop/b", "b create 10.0.0.1");
	support_service(&m, (struct support_service){.name = "c", .created = "03:00:00", .annotations = IPS("10.0.0.2")});
	is_plan(a, "shop/c", "c settled (AllocationFailed)");
	allocator_writing(a, "shop/a", &second, 1);
	support_service(&m, (struct support_service){.name = "a", .version = 3, .annotations = SHARED("10.0.0.1")});
	is_plan(a, "shop/a", "a settled");
	is_plan(a, "shop/c", "c settled (AllocationFailed)");   /* the write may come true yet */
	allocator_writing(a, "shop/a", &second, 1);
	is_plan(a, "shop/c", "c settled (AllocationFailed)");
	allocator_writing(a, "shop/a", NULL, 0);
	is_plan(a, "shop/c", "c create 10.0.0.2");
	support_record(&m, (struct support_record){.address = "10.0.0.1", .services = "shop/b", .uids = "u-b"});
	is_plan(a, "shop/b", "b status 10.0.0.1 of p");
	is_plan(a, "shop/a", "a join 10.0.0.1");
	model_drop_record(&m, &first);
	is_plan(a, "shop/a", "a create 10.0.0.1");   /* one of the two */
	is_plan(a, "shop/b", "b settled");
	allocator_free(a);
	model_free(&m);
}

/* Whatever decides who may share with whom is a difference. */
static void what_sharing_is_of(void **state)
{
	static const struct support_service KINDS[] = {
		{.annotations = SHARED("10.0.0.1")}, {.annotations = SHARED("10.0.0.1"), .spec = PORT_81}, {.annotations = ""},
		{.annotations = "'" ANNOTATION_SHARE "': 'other'"}, {.annotations = SHARED("10.0.0.1"), .spec = LOCAL},
		{.annotations = SHARED("10.0.0.1"), .spec = ", 'ports': [{'port': 80}, {'port': 81}]"}, {.annotations = SHARED("10.0.0.1"), .spec = ", 'ports': [{'port': 80, 'protocol': 'UDP'}]"}};
	struct sharing of[COUNT(KINDS)];
	(void)state;
	for (size_t i = 0; i < COUNT(KINDS); i++) {
		struct service *s = support_service_new(KINDS[i]);
		of[i] = sharing_of(s);
		service_free(s);
	}
	for (size_t i = 0; i < COUNT(KINDS); i++)
		for (size_t j = 0; j < COUNT(KINDS); j++)
			if (sharing_equal(&of[i], &of[j]) != (i == j))
				fail_msg("%zu and %zu", i, j);
	for (size_t i = 0; i < COUNT(KINDS); i++)
		sharing_free(&of[i]);
}

/* Each refusal is said in its own words: they go into an Event. */
static void why_not_shared(void **state)
{
	static const char TWO_PORTS[] = ", 'ports': [{'port': 90}, {'port': 80}]";
	static const struct { struct support_service new, old; const char *why; } CASES[] = {
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = ""}, "existing service does not allow sharing (annotate both with metallb.io/allow-shared-ip)"},
		{{.annotations = ""}, {.annotations = SHARED("10.0.0.1")}, "new service does not allow sharing (annotate it with metallb.io/allow-shared-ip: "},
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = "'" ANNOTATION_SHARE "': 'other'"}, "does not match existing sharing key \"other\""},
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = SHARED("10.0.0.1"), .spec = LOCAL}, "backend key differs"},
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = SHARED("10.0.0.1")}, "port TCP/80 is already in use there"},
		{{.annotations = SHARED("10.0.0.1"), .spec = TWO_PORTS}, {.annotations = SHARED("10.0.0.1")}, "port TCP/80 is already in use there"},
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = SHARED("10.0.0.1"), .spec = TWO_PORTS}, "port TCP/80 is already in use there"},
		{{.annotations = SHARED("10.0.0.1")}, {.annotations = SHARED("10.0.0.1"), .spec = PORT_81}, NULL}};
	(void)state;
	for (size_t i = 0; i < COUNT(CASES); i++) {
		struct service *new = support_service_new(CASES[i].new), *old = support_service_new(CASES[i].old);
		struct sharing a = sharing_of(new), b = sharing_of(old);
		struct error why = {""};
		if (sharing_allows(&a, &b, &why) != !CASES[i].why || !strstr(why.text, CASES[i].why ? CASES[i].why : ""))
			fail_msg("case %zu: \"%s\"", i, why.text);
		sharing_free(&a);
		sharing_free(&b);
		service_free(new);
		service_free(old);
	}
}

/* Two with externalTrafficPolicy Local and no selector have endpoints of their own: they do not share. */
static void local_without_selector(void **state)
{
	struct model m;
	(void)state;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.2']");
	support_service(&m, (struct support_service){.name = "a", .annotations = SHARED("10.0.0.1"), .spec = LOCAL});
	support_service(&m, (struct support_service){.name = "b", .created = "02:00:00", .annotations = SHARED("10.0.0.1"), .spec = PORT_81 LOCAL});
	is_plan(a, "shop/a", "a create 10.0.0.1");
	is_plan(a, "shop/b", "b settled (AllocationFailed)");
	allocator_free(a);
	model_free(&m);
}

/* Another client writes the status again and again: put right three times a minute, then said, and left alone for a minute. */
static void foreign_writes(void **state)
{
	struct model m;
	int64_t wake, now = 1000 * CLOCK_S;
	const struct allocation *one;
	(void)state;
	model_init(&m, "", false);
	struct allocator *a = allocator_new(&m, NULL);
	support_pool(&m, "p", "'addresses': ['10.0.0.1-10.0.0.3']");
	support_record(&m, (struct support_record){.address = "10.0.0.1"});
	support_service(&m, (struct support_service){.annotations = FROM("p"), .ips = "10.0.0.1"});
	allocator_plan(a, now, &wake);
	one = allocator_find(a, "shop/web");
	assert_int_equal(one->step, ALLOCATION_SETTLED);
	for (unsigned i = 0; i < 5; i++) {
		now += CLOCK_S;
		support_service(&m, (struct support_service){.version = 2 + 2 * i, .annotations = FROM("p"), .ips = "10.9.9.9"});
		allocator_plan(a, now, &wake);
		one = allocator_find(a, "shop/web");
		assert_int_equal(one->step, i < 3 ? ALLOCATION_STATUS : ALLOCATION_SETTLED);
		assert_true(one->repair);
		assert_int_equal(one->n_notices, i < 3 ? 0 : 1);
		if (i >= 3) {
			assert_string_equal(one->notices[0].reason, "ForeignWrite");
			assert_true(one->notices[0].warning);
			assert_true(wake == 1004 * CLOCK_S + 60 * CLOCK_S);
			continue;
		}
		allocator_plan(a, now, &wake);   /* the same one is not counted twice */
		assert_int_equal(allocator_find(a, "shop/web")->step, ALLOCATION_STATUS);
		support_service(&m, (struct support_service){.version = 3 + 2 * i, .annotations = FROM("p"), .ips = "10.0.0.1"});
		allocator_plan(a, now, &wake);
		assert_int_equal(allocator_find(a, "shop/web")->step, ALLOCATION_SETTLED);
		assert_false(allocator_find(a, "shop/web")->repair);
	}
	allocator_plan(a, 1064 * CLOCK_S, &wake);
	assert_int_equal(allocator_find(a, "shop/web")->step, ALLOCATION_STATUS);
	allocator_free(a);
	model_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chooses), cmocka_unit_test(pools), cmocka_unit_test(requests), cmocka_unit_test(keeps), cmocka_unit_test(crashes),
		cmocka_unit_test(two_families), cmocka_unit_test(exhaustion), cmocka_unit_test(reservations), cmocka_unit_test(foreign_writes), cmocka_unit_test(waiters), cmocka_unit_test(what_sharing_is_of), cmocka_unit_test(why_not_shared), cmocka_unit_test(local_without_selector),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
