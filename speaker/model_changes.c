#include "speaker/model_changes.h"

#include <stdlib.h>
#include <string.h>

void model_changes_note_service(struct model_changes *c, const char *key)
{
	struct changed_service *s;
	if (!c->followed)
		return;
	HASH_FIND_STR(c->services, key, s);
	if (s)
		return;
	s = mem_zalloc(sizeof(*s));
	s->key = mem_strdup(key);
	HASH_ADD_KEYPTR(hh, c->services, s->key, strlen(s->key), s);
}

void model_changes_note_address(struct model_changes *c, const struct address *a)
{
	struct changed_address *x;
	if (!c->followed)
		return;
	HASH_FIND(hh, c->addresses, a, sizeof(*a), x);
	if (x)
		return;
	x = mem_zalloc(sizeof(*x));
	x->address = *a;
	HASH_ADD(hh, c->addresses, address, sizeof(x->address), x);
}

void model_changes_forget(struct model_changes *c)
{
	struct changed_service *s, *s_next;
	struct changed_address *a, *a_next;
	HASH_ITER(hh, c->services, s, s_next) {
		HASH_DEL(c->services, s);
		free(s->key);
		free(s);
	}
	HASH_ITER(hh, c->addresses, a, a_next) {
		HASH_DEL(c->addresses, a);
		free(a);
	}
	c->all = false;
}
