/* rtnetlink messages of any shape, and what must hold of the table they make: sorted by index, names that end, addresses
 * that are addresses, each once; the questions asked of it read nothing beyond. The input is one datagram; a real one may
 * be several, one after the other (each holds whole messages). Twice the same changes nothing more than twice the same.
 * The corpus was recorded from a kernel by tests/fuzz/record.py. */
#include "arp/link_table.h"
#include "tests/fuzz/require.h"

static void check_link(const struct link_info *link)
{
	const struct address a = address_from_v4(0xc0a87a64);
	REQUIRE(link->index > 0);
	REQUIRE(strnlen(link->name, sizeof(link->name)) < sizeof(link->name));
	REQUIRE(link->n_addresses <= LINK_ADDRESSES);
	for (size_t i = 0; i < link->n_addresses; i++) {
		const struct address_prefix *p = &link->addresses[i];
		REQUIRE(p->address.family == ADDRESS_V4 || p->address.family == ADDRESS_V6);
		REQUIRE(p->length <= (p->address.family == ADDRESS_V4 ? 32 : 128));
		for (size_t j = 0; j < i; j++)
			REQUIRE(!address_equal(&p->address, &link->addresses[j].address) || p->length != link->addresses[j].length);
	}
	REQUIRE(!link->port || link->master);
	REQUIRE(!link_usable(link) || link_works(link));
	link_has_subnet_of(link, &a);
	uint32_t own = link_own_address(link);
	const struct address own_text = address_from_v4(own);
	REQUIRE(!own || link_has_subnet_of(link, &own_text));
}

static void check_table(const struct link_table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		check_link(&t->links[i]);
		REQUIRE(i == 0 || t->links[i - 1].index < t->links[i].index);
		REQUIRE(link_table_find(t, t->links[i].name) != NULL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct link_table table = {0};
	void *datagram = malloc(size);   /* aligned, and just as long */
	if (size)
		memcpy(datagram, data, size);
	int news = link_table_apply(&table, datagram, size);
	check_table(&table);
	REQUIRE(table.n == 0 || (news & LINK_TABLE_CHANGED));
	REQUIRE(size % 4 == 0 || size > 16 || (news & LINK_TABLE_MALFORMED));
	link_table_apply(&table, datagram, size);
	check_table(&table);
	free(datagram);
	link_table_free(&table);
	return 0;
}
