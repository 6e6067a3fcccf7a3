/* What an ARP frame means. */
#include "arp/sighting.h"

#include "arp/filter.h"
#include "tests/unit/unit.h"

static const struct mac A = {{2, 0, 0, 0, 0, 0xa}}, B = {{2, 0, 0, 0, 0, 0xb}}, C = {{2, 0, 0, 0, 0, 0xc}};
enum { ADDRESS_A = 0x0a000001, ADDRESS_B = 0x0a000002, VIP = 0x0a000064 };

static void kinds(void **state)
{
	struct arp_frame question = arp_question(ADDRESS_A, &A, VIP, NULL), probe = question, alarm = question;
	struct arp_frame unicast = arp_question(ADDRESS_A, &A, ADDRESS_B, &B), answer = arp_answer(&question, &B), kernel = arp_answer(&unicast, &B);
	struct arp_frame guard = answer, speaker = arp_gratuitous_reply(ADDRESS_B, &B);
	(void)state;
	probe.spa = 0;
	alarm.tha = ALARM_MARK;
	guard.eth_src = C;
	speaker.eth_dst = A;   /* liveness: the speaker's form of answer, to one only */
	assert_int_equal(sighting_of(&question, false), SIGHTING_REQUEST);
	assert_int_equal(sighting_of(&question, true), SIGHTING_REQUEST);   /* broadcast: a kernel that does not know its peer */
	assert_int_equal(sighting_of(&probe, false), SIGHTING_PROBE);
	assert_int_equal(sighting_of(&alarm, false), SIGHTING_ALARM);
	assert_int_equal(sighting_of(&answer, false), SIGHTING_REPLY);
	assert_int_equal(sighting_of(&guard, false), SIGHTING_GUARD);
	assert_int_equal(sighting_of(&unicast, false), SIGHTING_REQUEST);
	assert_int_equal(sighting_of(&unicast, true), SIGHTING_LIVENESS);
	assert_int_equal(sighting_of(&kernel, true), SIGHTING_LIVENESS);
	assert_int_equal(sighting_of(&speaker, false), SIGHTING_LIVENESS);
	struct arp_frame announcements[] = {arp_announcement(VIP, &A), arp_gratuitous_reply(VIP, &A)};
	for (size_t i = 0; i < COUNT(announcements); i++)
		assert_int_equal(sighting_of(&announcements[i], false), SIGHTING_ANNOUNCEMENT);
}

static void names(void **state)
{
	(void)state;
	assert_string_equal(sighting_name(SIGHTING_REQUEST), "request");
	assert_string_equal(sighting_name(SIGHTING_ALARM), "alarm");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(kinds), cmocka_unit_test(names)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
