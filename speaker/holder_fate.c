#include "speaker/holder_fate.h"

enum holder_fate holder_fate_of(const struct holder_evidence *e)
{
	switch (e->wire) {
	case LIVENESS_DEAD:
		return HOLDER_DEAD;
	case LIVENESS_SPEAKER_DOWN:
		return e->guard ? HOLDER_SPEAKER_DOWN : HOLDER_DEAD;
	case LIVENESS_ALIVE:
		return HOLDER_PRESENT;
	case LIVENESS_UNKNOWN:
	case LIVENESS_SILENT:
		break;
	}
	if (e->wire_judges || !e->api)
		return HOLDER_PRESENT;
	/* A Node's absence says more than a NotReady. */
	return !e->node || e->linkless || (!e->ready && e->api_for > HOLDER_TRUST) ? HOLDER_GONE : HOLDER_PRESENT;
}
