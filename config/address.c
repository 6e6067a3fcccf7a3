#include "config/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t width(const struct address *a)
{
	return a->family == ADDRESS_V4 ? 4 : 16;
}

static const uint8_t V4_MAPPED[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

int address_parse(const char *text, struct address *addressp, struct error *err)
{
	struct address a = {0};
	if (inet_pton(AF_INET, text, a.bytes) == 1) {
		a.family = ADDRESS_V4;
	} else if (inet_pton(AF_INET6, text, a.bytes) == 1) {
		a.family = ADDRESS_V6;
		if (memcmp(a.bytes, V4_MAPPED, sizeof(V4_MAPPED)) == 0) {
			a.family = ADDRESS_V4;
			memmove(a.bytes, a.bytes + 12, 4);
			memset(a.bytes + 4, 0, 12);
		}
	} else {
		return error_set(err, -EINVAL, "\"%.64s\" is not an IP address", text);
	}
	*addressp = a;
	return 0;
}

/* ::1.2.3.4, which libc prints with dots; Go and so Kubernetes do not. */
static bool is_v4_compatible(const struct address *a)
{
	static const uint8_t ZERO[12];
	return memcmp(a->bytes, ZERO, sizeof(ZERO)) == 0 && (a->bytes[12] || a->bytes[13]);
}

const char *address_format(const struct address *a, char text[ADDRESS_TEXT])
{
	text[0] = '\0';
	if (a->family == ADDRESS_V4)
		inet_ntop(AF_INET, a->bytes, text, ADDRESS_TEXT);
	else if (a->family == ADDRESS_V6 && is_v4_compatible(a))
		snprintf(text, ADDRESS_TEXT, "::%x:%x", a->bytes[12] << 8 | a->bytes[13], a->bytes[14] << 8 | a->bytes[15]);
	else if (a->family == ADDRESS_V6)
		inet_ntop(AF_INET6, a->bytes, text, ADDRESS_TEXT);
	return text;
}

int address_compare(const struct address *a, const struct address *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

struct address address_from_v4(uint32_t host_order)
{
	struct address a = {.family = ADDRESS_V4};
	uint32_t net = htonl(host_order);
	memcpy(a.bytes, &net, 4);
	return a;
}

uint32_t address_to_v4(const struct address *a)
{
	uint32_t net;
	memcpy(&net, a->bytes, 4);
	return ntohl(net);
}

bool address_next(const struct address *a, struct address *nextp)
{
	struct address n = *a;
	for (size_t i = width(a); i-- > 0;)
		if (++n.bytes[i] != 0) {
			*nextp = n;
			return true;
		}
	return false;
}

/* Sets the bits behind length to value. */
static void fill_host_bits(struct address *a, unsigned length, bool value)
{
	for (size_t i = 0; i < width(a); i++) {
		unsigned keep = length >= (i + 1) * 8 ? 8 : length <= i * 8 ? 0 : length - (unsigned)i * 8;
		uint8_t mask = (uint8_t)(0xff00 >> keep);
		a->bytes[i] = value ? (uint8_t)(a->bytes[i] | (uint8_t)~mask) : (uint8_t)(a->bytes[i] & mask);
	}
}

/* Why a text without "-" is no CIDR, as far as that can be told. */
static int refuse_prefix(const char *text, struct error *err)
{
	struct address a;
	if (address_parse(text, &a, NULL) == 0)
		return error_set(err, -EINVAL, "invalid CIDR \"%.64s\": it has no prefix length; write %s/%zu for that one address, or a range "
				 "such as 192.168.1.10-192.168.1.20", text, text, width(&a) * 8);
	if (!strchr(text, '/'))
		return error_set(err, -EINVAL, "invalid CIDR \"%.64s\": it has no prefix length; write a CIDR such as 192.168.1.0/24 or a range "
				 "such as 192.168.1.10-192.168.1.20", text);
	if (strpbrk(text, " \t\r\n"))
		return error_set(err, -EINVAL, "invalid CIDR \"%.64s\": remove the blanks", text);
	return error_set(err, -EINVAL, "invalid CIDR \"%.64s\": write an address, a slash and a prefix length, such as 192.168.1.0/24 or fd00::/64", text);
}

/* Like Go: digits only, leading zeros are allowed. */
static bool parse_length(const char *digits, unsigned long *lengthp)
{
	unsigned long n = 0;
	if (!*digits)
		return false;
	for (; *digits; digits++) {
		if (*digits < '0' || *digits > '9' || n > 0xffffff)
			return false;
		n = n * 10 + (unsigned long)(*digits - '0');
	}
	*lengthp = n;
	return true;
}

int address_prefix_parse(const char *text, struct address_prefix *prefixp, struct error *err)
{
	const char *slash = strchr(text, '/');
	char host[ADDRESS_TEXT];
	if (!slash || (size_t)(slash - text) >= sizeof(host))
		return refuse_prefix(text, err);
	memcpy(host, text, (size_t)(slash - text));
	host[slash - text] = '\0';
	struct address a;
	unsigned long length;
	if (address_parse(host, &a, NULL) < 0 || !parse_length(slash + 1, &length))
		return refuse_prefix(text, err);
	bool mapped = a.family == ADDRESS_V4 && strchr(host, ':');
	size_t bits = mapped ? 128 : width(&a) * 8;
	if (length > bits)
		return error_set(err, -EINVAL, "invalid CIDR \"%.64s\": a prefix length goes from 0 to %zu there", text, bits);
	if (mapped && length >= 96) {
		length -= 96;
	} else if (mapped) {
		/* Shorter than ::ffff: itself, so it is a prefix of IPv6. */
		inet_pton(AF_INET6, host, a.bytes);
		a.family = ADDRESS_V6;
	}
	*prefixp = (struct address_prefix){.address = a, .length = (uint8_t)length};
	return 0;
}

bool address_prefix_contains(const struct address_prefix *p, const struct address *a)
{
	if (a->family != p->address.family)
		return false;
	struct address x = p->address, y = *a;
	fill_host_bits(&x, p->length, false);
	fill_host_bits(&y, p->length, false);
	return address_equal(&x, &y);
}

/* Length of the blank that starts (or, with at_end, ends) [from, to), as Unicode and so Go's TrimSpace have it; 0: none.
 * A range pasted from a web page may well have a no-break space. */
static size_t blank(const char *from, const char *to, bool at_end)
{
	static const char *const BLANKS[] = {
		" ", "\t", "\n", "\v", "\f", "\r", "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005",
		"\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000",
	};
	for (size_t i = 0; i < sizeof(BLANKS) / sizeof(BLANKS[0]); i++) {
		size_t n = strlen(BLANKS[i]);
		if ((size_t)(to - from) >= n && memcmp(at_end ? to - n : from, BLANKS[i], n) == 0)
			return n;
	}
	return 0;
}

/* Copies [from, to) without the blanks at its ends; false when it does not fit. */
static bool trimmed(const char *from, const char *to, char out[ADDRESS_TEXT])
{
	size_t n;
	while ((n = blank(from, to, false)) > 0)
		from += n;
	while ((n = blank(from, to, true)) > 0)
		to -= n;
	if (to - from >= ADDRESS_TEXT)
		return false;
	memcpy(out, from, (size_t)(to - from));
	out[to - from] = '\0';
	return true;
}

static int parse_from_to(const char *text, const char *dash, struct address_range *rangep, struct error *err)
{
	char first[ADDRESS_TEXT], last[ADDRESS_TEXT];
	struct address_range r;
	if (!trimmed(text, dash, first) || address_parse(first, &r.first, NULL) < 0)
		return error_set(err, -EINVAL, "invalid CIDR \"%.100s\": invalid IP range: invalid start IP; write it as 192.168.1.10-192.168.1.20", text);
	if (!trimmed(dash + 1, dash + strlen(dash), last) || address_parse(last, &r.last, NULL) < 0)
		return error_set(err, -EINVAL, "invalid CIDR \"%.100s\": invalid IP range: invalid end IP; write it as 192.168.1.10-192.168.1.20", text);
	if (r.first.family != r.last.family)
		return error_set(err, -EINVAL, "invalid CIDR \"%.100s\": invalid IP range: start and end are of different families; give each family "
				 "an entry of its own", text);
	if (address_compare(&r.first, &r.last) > 0)
		return error_set(err, -EINVAL, "invalid CIDR \"%.100s\": invalid IP range: start IP %s is after the end IP %s; swap them", text, first, last);
	*rangep = r;
	return 0;
}

int address_range_parse(const char *text, struct address_range *rangep, struct error *err)
{
	const char *dash = strchr(text, '-');
	if (dash)
		return parse_from_to(text, dash, rangep, err);
	struct address_prefix p;
	int rc = address_prefix_parse(text, &p, err);
	if (rc < 0)
		return rc;
	rangep->first = rangep->last = p.address;
	fill_host_bits(&rangep->first, p.length, false);
	fill_host_bits(&rangep->last, p.length, true);
	return 0;
}

const char *address_range_format(const struct address_range *r, char text[ADDRESS_RANGE_TEXT])
{
	char first[ADDRESS_TEXT], last[ADDRESS_TEXT];
	address_format(&r->first, first);
	for (unsigned length = 0; length <= width(&r->first) * 8; length++) {
		struct address low = r->first, high = r->first;
		fill_host_bits(&low, length, false);
		fill_host_bits(&high, length, true);
		if (address_equal(&low, &r->first) && address_equal(&high, &r->last)) {
			snprintf(text, ADDRESS_RANGE_TEXT, "%s/%u", first, length);
			return text;
		}
	}
	snprintf(text, ADDRESS_RANGE_TEXT, "%s-%s", first, address_format(&r->last, last));
	return text;
}

bool address_range_contains(const struct address_range *r, const struct address *a)
{
	return a->family == r->first.family && address_compare(&r->first, a) <= 0 && address_compare(a, &r->last) <= 0;
}

bool address_range_overlaps(const struct address_range *a, const struct address_range *b)
{
	return a->first.family == b->first.family && address_compare(&a->first, &b->last) <= 0 &&
	       address_compare(&b->first, &a->last) <= 0;
}

int64_t address_range_size(const struct address_range *r)
{
	uint64_t high = 0, low = 0, first_high = 0, first_low = 0;
	if (r->first.family == ADDRESS_V4)
		return (int64_t)address_to_v4(&r->last) - (int64_t)address_to_v4(&r->first) + 1;
	for (int i = 0; i < 8; i++) {
		high = high << 8 | r->last.bytes[i];
		low = low << 8 | r->last.bytes[8 + i];
		first_high = first_high << 8 | r->first.bytes[i];
		first_low = first_low << 8 | r->first.bytes[8 + i];
	}
	uint64_t diff_low = low - first_low, diff_high = high - first_high - (low < first_low);
	return diff_high || diff_low >= INT64_MAX ? INT64_MAX : (int64_t)(diff_low + 1);
}
