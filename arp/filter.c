#include "arp/filter.h"

/* "l2lb!" behind a locally administered unicast octet */
const struct mac ALARM_MARK = {{0x02, 'l', '2', 'l', 'b', '!'}};

void arp_filter(struct buffer *expression, const struct ipv4_range *ranges, size_t n, const struct mac *own)
{
	char mac[MAC_TEXT];
	const uint8_t *m = ALARM_MARK.bytes;
	/* offsets within the ARP payload: 14 sender, 24 target protocol address, 18 target hardware address */
	buffer_printf(expression, "arp and (ether dst %s", mac_format(own, mac));
	buffer_printf(expression, " or (arp[18:4] = 0x%02x%02x%02x%02x and arp[22:2] = 0x%02x%02x)", m[0], m[1], m[2], m[3], m[4], m[5]);
	for (size_t i = 0; i < n; i++) {
		for (int offset = 24; offset >= 14; offset -= 10)
			buffer_printf(expression, " or (arp[%d:4] >= 0x%08x and arp[%d:4] <= 0x%08x)", offset, ranges[i].first, offset, ranges[i].last);
	}
	buffer_text(expression, ")");
}
