#include "speaker/service_request.h"

#include <errno.h>
#include <string.h>

#include "speaker/names.h"

/* The new key wins where it is present, also with an empty value. */
static const char *input(const struct service *s, const char *key, const char *old_key)
{
	const char *value = labels_get(&s->meta.annotations, key);
	if (!value)
		value = labels_get(&s->meta.annotations, old_key);
	return value && *value ? value : NULL;
}

static int add_ip(struct service_request *q, const char *text, struct error *err)
{
	char copy[ADDRESS_TEXT];
	text += strspn(text, " \t");
	size_t n = strcspn(text, ",");
	while (n && strchr(" \t", text[n - 1]))
		n--;
	if (q->n_ips == SERVICE_ADDRESSES)
		return error_set(err, -EINVAL, "at most one address per family can be requested");
	if (n >= sizeof(copy))
		return error_set(err, -EINVAL, "invalid spec.loadBalancerIP or %s: \"%.64s\" is not an IP address", ANNOTATION_IPS, text);
	memcpy(copy, text, n);
	copy[n] = '\0';
	struct address *a = &q->ips[q->n_ips];
	int rc = address_parse(copy, a, err);
	if (rc < 0) {
		error_prefix(err, "invalid spec.loadBalancerIP or %s", ANNOTATION_IPS);
		return rc;
	}
	if (q->n_ips == 1 && a->family == q->ips[0].family)
		return error_set(err, -EINVAL, "two addresses of one family are requested; at most one of each can be had");
	q->n_ips++;
	return 0;
}

int service_request_read(const struct service *s, struct service_request *q, struct error *err)
{
	const char *ips = input(s, ANNOTATION_IPS, ANNOTATION_OLD_IPS);
	*q = (struct service_request){.pool = input(s, ANNOTATION_POOL, ANNOTATION_OLD_POOL)};
	if (ips && s->lb_ip)
		return error_set(err, -EINVAL, "both spec.loadBalancerIP and annotation %s are set; keep one", ANNOTATION_IPS);
	if (!ips)
		ips = s->lb_ip;
	int rc = 0;
	for (const char *p = ips; rc == 0 && p;) {
		rc = add_ip(q, p, err);
		p = strchr(p, ',');
		p = p ? p + 1 : NULL;
	}
	return rc;
}

bool service_request_deprecated(const struct service *s)
{
	for (size_t i = 0; i < s->meta.annotations.n; i++)
		if (strncmp(s->meta.annotations.items[i].key, ANNOTATION_OLD_PREFIX, strlen(ANNOTATION_OLD_PREFIX)) == 0)
			return true;
	return false;
}
