/* IPv4 and IPv6 addresses, prefixes and ranges, with one total order: all of IPv4 before all of IPv6. Pure. */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/base/error.h"

enum address_family { ADDRESS_NONE = 0, ADDRESS_V4 = 4, ADDRESS_V6 = 6 };

/* bytes: network order; an IPv4 address uses the first four, the rest are zero, so that memcmp and hashing work. */
struct address {
	uint8_t family;   /* enum address_family */
	uint8_t bytes[16];
};

struct address_range {
	struct address first, last;   /* same family, first <= last, both included */
};

struct address_prefix {
	struct address address;   /* host bits kept: an interface address with its prefix length */
	uint8_t length;
};

#define ADDRESS_TEXT 46   /* longest text form with its NUL */
#define ADDRESS_RANGE_TEXT (2 * ADDRESS_TEXT)

/* Strict: no blanks, no leading zeros, no zone. "::ffff:1.2.3.4" is 1.2.3.4, as in Go. -EINVAL with err set. */
int address_parse(const char *text, struct address *addressp, struct error *err);

/* Writes the canonical form (lower case, RFC 5952) and returns text. */
const char *address_format(const struct address *a, char text[ADDRESS_TEXT]);

int address_compare(const struct address *a, const struct address *b);
static inline bool address_equal(const struct address *a, const struct address *b)
{
	return address_compare(a, b) == 0;
}

struct address address_from_v4(uint32_t host_order);
uint32_t address_to_v4(const struct address *a);   /* host byte order; only for IPv4 */

/* The address after a; false when a is the last of its family. */
bool address_next(const struct address *a, struct address *nextp);

/* MetalLB's two forms, read as Go does: "192.168.1.0/24" (host bits are masked off, no blanks, zeros before the length
 * are allowed) and "a-b" (blanks around each side are allowed, a <= b; both of one family, where MetalLB makes an empty
 * pool of some mixed ones). -EINVAL: err is `invalid CIDR "<text>": <what>; <remedy>`. */
int address_range_parse(const char *text, struct address_range *rangep, struct error *err);

/* As a CIDR where it is one, else "first-last". Returns text. */
const char *address_range_format(const struct address_range *r, char text[ADDRESS_RANGE_TEXT]);
bool address_range_contains(const struct address_range *r, const struct address *a);
bool address_range_overlaps(const struct address_range *a, const struct address_range *b);

/* Number of addresses, exact up to INT64_MAX, which stands for all above (MetalLB writes it from 2^62 on). */
int64_t address_range_size(const struct address_range *r);

/* "192.168.122.10/24", as an interface has it. "::ffff:1.2.3.0/120" is 1.2.3.0/24, as in Go. */
int address_prefix_parse(const char *text, struct address_prefix *prefixp, struct error *err);
bool address_prefix_contains(const struct address_prefix *p, const struct address *a);

#endif
