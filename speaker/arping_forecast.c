#include "speaker/arping_forecast.h"

#include <stdlib.h>

#include "config/address.h"
#include "config/base/memory.h"

static void show(struct arping_forecast *f, enum arping which, const struct mac *mac, unsigned count)
{
	for (size_t i = 0; i < f->n[which]; i++)
		if (mac_equal(&f->replies[which][i].mac, mac)) {
			f->replies[which][i].count += count;
			return;
		}
	f->replies[which] = mem_realloc(f->replies[which], (f->n[which] + 1) * sizeof(struct arping_reply));
	f->replies[which][f->n[which]++] = (struct arping_reply){*mac, count};
}

static bool about(const struct inquiry_answer *a, uint32_t address, const char *link)
{
	return a->address == address && strcmp(a->link, link) == 0;
}

/* Broadcast until somebody replies; from then on only the MAC that replied last is asked. Where another one says that MAC (a
 * guard), the MAC itself is silent: that is why it is guarded. */
static void forecast_unicast(struct arping_forecast *f, uint32_t address, const char *link, const struct inquiry_answer *answers, size_t n)
{
	const struct inquiry_answer *last = NULL;
	for (unsigned q = 0; q < f->questions; q++) {
		const struct mac *asked = last ? &last->sha : NULL;
		for (size_t i = 0; i < n; i++) {
			const struct inquiry_answer *a = &answers[i];
			if (a->question != q || !about(a, address, link))
				continue;
			if (asked && (!mac_equal(&a->sha, asked) || !mac_equal(&a->eth_src, asked)))
				continue;
			show(f, ARPING_IPUTILS, &a->sha, 1);
			last = a;
		}
	}
}

void arping_forecast_make(struct arping_forecast *f, uint32_t address, const char *link, unsigned questions, const struct inquiry_answer *answers,
			  size_t n)
{
	*f = (struct arping_forecast){.questions = questions};
	for (size_t i = 0; i < n; i++)
		if (about(&answers[i], address, link)) {
			show(f, ARPING_IPUTILS_BROADCAST, &answers[i].sha, 1);
			show(f, ARPING_HABETS, &answers[i].eth_src, 1);
		}
	forecast_unicast(f, address, link, answers, n);
}

void arping_forecast_free(struct arping_forecast *f)
{
	for (int i = 0; i < ARPINGS; i++)
		free(f->replies[i]);
	*f = (struct arping_forecast){0};
}

static bool same(const struct arping_forecast *f, enum arping a, enum arping b)
{
	if (f->n[a] != f->n[b])
		return false;
	for (size_t i = 0; i < f->n[a]; i++)
		if (!mac_equal(&f->replies[a][i].mac, &f->replies[b][i].mac) || f->replies[a][i].count != f->replies[b][i].count)
			return false;
	return true;
}

static void replies_text(const struct arping_forecast *f, enum arping which, struct buffer *out)
{
	char mac[MAC_TEXT];
	unsigned sum = 0;
	for (size_t i = 0; i < f->n[which]; i++)
		sum += f->replies[which][i].count;
	if (sum == 0) {
		buffer_text(out, "no reply");
		return;
	}
	buffer_printf(out, "%u %s", sum, sum == 1 ? "reply" : "replies");
	if (f->n[which] == 1) {
		buffer_printf(out, " from %s", mac_format(&f->replies[which][0].mac, mac));
		return;
	}
	for (size_t i = 0; i < f->n[which]; i++)
		buffer_printf(out, "%s %u from %s%s", i ? "," : ":", f->replies[which][i].count, mac_format(&f->replies[which][i].mac, mac), i ? "" : " (first)");
}

void arping_forecast_text(const struct arping_forecast *f, uint32_t address, const char *link, struct buffer *out)
{
	char text[ADDRESS_TEXT];
	struct address a = address_from_v4(address);
	bool broadcast_same = same(f, ARPING_IPUTILS, ARPING_IPUTILS_BROADCAST), habets_same = same(f, ARPING_IPUTILS_BROADCAST, ARPING_HABETS);
	buffer_printf(out, "arping -c %u -I %s %s would show ", f->questions, link, address_format(&a, text));
	replies_text(f, ARPING_IPUTILS, out);
	if (broadcast_same && habets_same)
		return;
	if (!broadcast_same) {
		buffer_text(out, " (after a reply it asks only the one that replied last); with -b");
		buffer_text(out, habets_same ? ", or as Habets' arping, " : " ");
		replies_text(f, ARPING_IPUTILS_BROADCAST, out);
	}
	if (!habets_same) {
		buffer_text(out, "; Habets' arping, which names the sender of the frame, ");
		replies_text(f, ARPING_HABETS, out);
	}
}
