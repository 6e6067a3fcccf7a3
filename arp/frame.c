#include "arp/frame.h"

#include <ctype.h>
#include <stdio.h>

enum { ETHERTYPE_OFFSET = 12, TAG_SIZE = 4, ARP_OFFSET = 14, OP_OFFSET = 20, SHA_OFFSET = 22, SPA_OFFSET = 28, THA_OFFSET = 32, TPA_OFFSET = 38 };

/* ethertype ARP, then hardware Ethernet, protocol IPv4, lengths 6 and 4 */
static const uint8_t FIXED[8] = {0x08, 0x06, 0x00, 0x01, 0x08, 0x00, 6, 4};

const struct mac MAC_BROADCAST = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};
const struct mac MAC_ZERO = {{0, 0, 0, 0, 0, 0}};

const char *mac_format(const struct mac *m, char text[MAC_TEXT])
{
	const uint8_t *b = m->bytes;
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", b[0], b[1], b[2], b[3], b[4], b[5]);
	return text;
}

bool mac_parse(const char *text, struct mac *macp)
{
	unsigned b[MAC_SIZE];
	/* scanf alone would also take blanks, signs and single digits */
	for (int i = 0; i < MAC_TEXT - 1; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	if (text[MAC_TEXT - 1] || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != MAC_SIZE)
		return false;
	for (int i = 0; i < MAC_SIZE; i++)
		macp->bytes[i] = (uint8_t)b[i];
	return true;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

/* 802.1Q with VID 0 says a priority and no VLAN: the frame is ours, as it is the kernel's. libpcap puts tags back in. */
static bool priority_tagged(const uint8_t *bytes, size_t len)
{
	const uint8_t *tag = bytes + ETHERTYPE_OFFSET;
	return len >= ARP_FRAME_SIZE + TAG_SIZE && tag[0] == 0x81 && tag[1] == 0x00 && (tag[2] & 0x0f) == 0 && tag[3] == 0;
}

bool arp_frame_parse(const uint8_t *bytes, size_t len, struct arp_frame *frame)
{
	struct arp_frame f;
	if (len < ARP_FRAME_SIZE)
		return false;
	memcpy(f.eth_dst.bytes, bytes, MAC_SIZE);
	memcpy(f.eth_src.bytes, bytes + MAC_SIZE, MAC_SIZE);
	if (priority_tagged(bytes, len))
		bytes += TAG_SIZE;
	if (memcmp(bytes + ETHERTYPE_OFFSET, FIXED, sizeof(FIXED)) != 0)
		return false;
	f.op = (uint16_t)(bytes[OP_OFFSET] << 8 | bytes[OP_OFFSET + 1]);
	memcpy(f.sha.bytes, bytes + SHA_OFFSET, MAC_SIZE);
	memcpy(f.tha.bytes, bytes + THA_OFFSET, MAC_SIZE);
	f.spa = get32(bytes + SPA_OFFSET);
	f.tpa = get32(bytes + TPA_OFFSET);
	if (f.op != ARP_REQUEST && f.op != ARP_REPLY)
		return false;
	if ((f.sha.bytes[0] & 1) || mac_equal(&f.sha, &MAC_ZERO) || (f.eth_src.bytes[0] & 1))
		return false;   /* nobody is a group or nothing */
	*frame = f;
	return true;
}

void arp_frame_build(const struct arp_frame *frame, uint8_t bytes[ARP_FRAME_SIZE])
{
	memcpy(bytes, frame->eth_dst.bytes, MAC_SIZE);
	memcpy(bytes + MAC_SIZE, frame->eth_src.bytes, MAC_SIZE);
	memcpy(bytes + ETHERTYPE_OFFSET, FIXED, sizeof(FIXED));
	bytes[OP_OFFSET] = (uint8_t)(frame->op >> 8);
	bytes[OP_OFFSET + 1] = (uint8_t)frame->op;
	memcpy(bytes + SHA_OFFSET, frame->sha.bytes, MAC_SIZE);
	put32(bytes + SPA_OFFSET, frame->spa);
	memcpy(bytes + THA_OFFSET, frame->tha.bytes, MAC_SIZE);
	put32(bytes + TPA_OFFSET, frame->tpa);
}

struct arp_frame arp_answer(const struct arp_frame *request, const struct mac *mac)
{
	return (struct arp_frame){.eth_dst = request->sha, .eth_src = *mac, .op = ARP_REPLY, .sha = *mac, .spa = request->tpa,
				  .tha = request->sha, .tpa = request->spa};
}

struct arp_frame arp_announcement(uint32_t address, const struct mac *mac)
{
	return (struct arp_frame){.eth_dst = MAC_BROADCAST, .eth_src = *mac, .op = ARP_REQUEST, .sha = *mac, .spa = address, .tpa = address};
}

struct arp_frame arp_gratuitous_reply(uint32_t address, const struct mac *mac)
{
	return (struct arp_frame){.eth_dst = MAC_BROADCAST, .eth_src = *mac, .op = ARP_REPLY, .sha = *mac, .spa = address, .tha = *mac, .tpa = address};
}

struct arp_frame arp_question(uint32_t own, const struct mac *mac, uint32_t target, const struct mac *to)
{
	return (struct arp_frame){.eth_dst = to ? *to : MAC_BROADCAST, .eth_src = *mac, .op = ARP_REQUEST, .sha = *mac, .spa = own, .tpa = target};
}
