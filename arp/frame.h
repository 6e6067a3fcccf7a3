/* ARP over Ethernet, byte by byte (RFC 826, RFC 5227; wire.md section 1). Pure. */
#ifndef ARP_FRAME_H
#define ARP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MAC_SIZE 6
#define ARP_FRAME_SIZE 42   /* what we send; a NIC pads it to 60 */

struct mac {
	uint8_t bytes[MAC_SIZE];
};

enum arp_op { ARP_REQUEST = 1, ARP_REPLY = 2 };

/* IPv4 addresses here are host byte order. */
struct arp_frame {
	struct mac eth_dst, eth_src;
	uint16_t op;   /* enum arp_op */
	struct mac sha;
	uint32_t spa;
	struct mac tha;
	uint32_t tpa;
};

extern const struct mac MAC_BROADCAST, MAC_ZERO;

static inline bool mac_equal(const struct mac *a, const struct mac *b)
{
	return memcmp(a->bytes, b->bytes, MAC_SIZE) == 0;
}
#define MAC_TEXT 18
const char *mac_format(const struct mac *m, char text[MAC_TEXT]);   /* "02:00:00:00:00:0a" */
bool mac_parse(const char *text, struct mac *macp);

/* Takes any bytes. False unless it is a whole Ethernet/IPv4 ARP request or reply from a unicast sender; padding behind it
 * is ignored. A VLAN tag with VID 0 is, too; any other is not. */
bool arp_frame_parse(const uint8_t *bytes, size_t len, struct arp_frame *frame);
void arp_frame_build(const struct arp_frame *frame, uint8_t bytes[ARP_FRAME_SIZE]);

/* Our answer to a request: SHA = mac, SPA = the address asked for, to the *payload's* sender (RFC 826). */
struct arp_frame arp_answer(const struct arp_frame *request, const struct mac *mac);

/* RFC 5227 section 3: an announcement is a request with SPA = TPA and THA zero. */
struct arp_frame arp_announcement(uint32_t address, const struct mac *mac);

/* RFC 5944 section 4.6: a gratuitous reply has THA = SHA; with THA ff Linux ignores it for a second (wire.md 4.1). */
struct arp_frame arp_gratuitous_reply(uint32_t address, const struct mac *mac);

/* An ordinary question from `own` for `target`; to == NULL: broadcast. */
struct arp_frame arp_question(uint32_t own, const struct mac *mac, uint32_t target, const struct mac *to);

#endif
