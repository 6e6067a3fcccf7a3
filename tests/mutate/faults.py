"""The planted faults: mistakes that somebody could make in the rules of ownership, each of which a test must notice.

The old text must stand in the file exactly once: whoever changes that line changes the fault with it. Rows of the simulation,
with the number of schedules, are for what unit tests cannot see.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    name: str
    file: str
    old: str
    new: str
    tests: list = field(default_factory=list)
    rows: list = field(default_factory=list)


FAULTS = [
    Fault("deadline off by one: a state's", "speaker/ownership_steps.c", "return now >= at;", "return now > at;", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("deadline off by one: an answer is due", "arp/liveness_round.c", "now >= p->expect_by", "now > p->expect_by", ["liveness_times", "liveness"]),
    Fault("deadline off by one: the verdict", "arp/liveness_round.c", "if (now < p->verdict_at)", "if (now <= p->verdict_at)", ["liveness_times", "liveness"]),
    Fault("deadline off by one: a claim's", "arp/conflict.c", "now >= c->next ? due(", "now > c->next ? due(", ["conflict"]),
    Fault("deadline off by one: requests of a round", "arp/liveness_round.c", "if (p->sent == ROUND_REQUESTS)", "if (p->sent == ROUND_REQUESTS - 1)", ["liveness_times", "liveness"]),
    Fault("resourceVersion ignored: by the patch", "speaker/records.c", '"uid", meta->uid, "resourceVersion", meta->resource_version,',
          '"uid", meta->uid, "resourceVersion", "",', ["records"]),
    Fault("resourceVersion ignored: by the simulated API server", "tests/sim/apiserver_write.c", 'strcmp(version, simtext(before, "resourceVersion")) != 0',
          "false", rows=[("node-removed", 10)]),
    Fault("guard not released: its owner is heard", "speaker/ownership.c", "if (o->state == OWNERSHIP_CHECK || o->state == OWNERSHIP_GUARDING)",
          "if (o->state == OWNERSHIP_CHECK)", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("guard not released: its owner is back", "speaker/ownership.c", "if (!v->guard || v->refused || (v->leaving", "if (v->refused || (v->leaving", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("guard not released: on the segment", "speaker/owned_address.c", "if (!guards && !o->guarded_here)", "if (!guards)", rows=[("killed-restarted", 10)]),
    Fault("guard not released: by the responder", "arp/responder.c", "\t\tif (o)\n\t\t\tdrop(r, o);", "", ["responder"]),
    Fault("guard not released: within a batch of frames", "speaker/owned_address.c", "\towned_address_hush(o);\n\tif (answered)", "\tif (answered)", rows=[("killed", 20), ("move", 20)]),
    Fault("announced without a carrier", "arp/segment.c", "while (works && (n = announcer_due(", "while ((n = announcer_due(", rows=[("carrier", 40)]),
    Fault("handed over, and what waited is answered", "arp/responder.c", "if (!o || at < o->since)", "if (!o)", ["responder"]),
    Fault("a third one's word not waited for", "arp/liveness_round.c", "if (!awaits_word(l, p, now))", "if (true)", ["liveness_times"]),
    Fault("a third one's word not waited for: the next one's in the ring", "arp/liveness_round.c", "return other == &l->peers[l->before % l->n] &&", "return false &&", ["liveness_times"]),
    Fault("a verdict though nobody was asked to vouch", "arp/liveness_round.c", "} else if (p->alarm_at) {", "} else if (now >= p->held_until) {", ["liveness_times"],
          rows=[("one-way-busy", 40)]),
    Fault("those that look because of an alarm are told too late", "arp/liveness_round.c", "if (p->verdict_at == p->patience - l->interval / 2)", "if (false)", ["liveness_times"]),
    Fault("an announcement counts as a proof before the record is looked at", "speaker/ownership.c", "\t\tmem_replace(&o->insists, peer);",
          "\t\tmem_replace(&o->refuted, peer);", ["ownership_rival"], rows=[("dead-again", 80)]),
    Fault("an alarm that comes late leaves nobody the time to vouch", "arp/liveness_round.c", "late > now ? late : now", "late < now ? late : now", ["liveness_times"]),
    Fault("late answer not clearing: a round goes on", "arp/liveness_receive.c", "\t\tif (p->phase != IDLE)\n\t\t\tliveness_end_round(p, next_ask);\n", "", ["liveness_times", "liveness"]),
    Fault("late answer not clearing: the dead stay dead", "arp/liveness_receive.c", "liveness_enter(l, p, p->watched ? LIVENESS_ALIVE : LIVENESS_UNKNOWN, now);",
          "if (!liveness_down(p))\n\t\t\tliveness_enter(l, p, p->watched ? LIVENESS_ALIVE : LIVENESS_UNKNOWN, now);", ["liveness_times", "liveness"]),
    Fault("late answer not clearing: of a question about an address", "arp/census.c", "e->unanswered = 0;", "", ["census"]),
    Fault("yield without hearing the other", "speaker/ownership.c", "if (o->asked && o->rival_at > o->since + wait)", "if (o->asked)", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("yield without hearing the other: a move stops by time", "speaker/ownership.c",
          "if (o->rival && *successor && strcmp(o->rival, successor) == 0)", "if (o->rival || ownership_reached(o->since + CLOCK_S, now, wakep))", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("wrong tie-break: between two that claim", "speaker/ownership_rival.c", "worse = ownership_rank(v, v->me) > ownership_rank(v, o->rival);",
          "worse = ownership_rank(v, v->me) < ownership_rank(v, o->rival);", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("wrong tie-break: between candidates", "speaker/election.c", "return memcmp(x->hash, y->hash, SHA256_SIZE);", "return memcmp(y->hash, x->hash, SHA256_SIZE);",
          ["election"]),
    Fault("epoch not raised: in the record", "speaker/records.c", "(json_int_t)(r->epoch + 1)", "(json_int_t)r->epoch", ["records"]),
    Fault("epoch not raised: what was heard outlives the record", "speaker/ownership.c", "record->epoch <= o->believed_epoch", "true", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("census evidence never ageing", "arp/census.c", "return e->unanswered >= c->times->questions && now - e->unanswered_at < c->times->fresh;",
          "return e->unanswered >= c->times->questions;", ["census"]),
    Fault("census evidence never ageing: that a stranger is silent", "arp/census.c",
          "e->quiet >= c->times->questions && now - e->quiet_at < c->times->fresh", "e->quiet >= c->times->questions", ["census"]),
    Fault("pacing dropped: of announcements", "arp/rate_cap.c", ">= CLOCK_S)", ">= 0)", ["rate_cap", "announcer"]),
    Fault("pacing dropped: of defences", "speaker/ownership_rival.c", "\tif (!ownership_reached(o->defended_at + OWNERSHIP_DEFENCE_SPACING, now, wakep))\n\t\treturn OWNERSHIP_NOTHING;\n", "",
          ["ownership_times", "ownership_rival", "ownership"]),
    Fault("pacing dropped: of the census", "arp/census.c", "due = due > c->last + c->times->spacing ? due : c->last + c->times->spacing;", "", ["census"]),
    Fault("pacing dropped: of writes that failed", "speaker/ownership_steps.c", "if (now < o->retry_at) {", "if (false) {", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("own deafness not noticed: no round trip is asked of the verdict", "arp/liveness_round.c", "bool proven = p->proof[0] && p->proof[1];", "bool proven = true;", ["liveness_times", "liveness"]),
    Fault("own deafness not noticed: one in the first half is enough", "arp/liveness_round.c", "bool proven = p->proof[0] && p->proof[1];",
          "bool proven = p->proof[0];", ["liveness_times", "liveness"]),
    Fault("own deafness not noticed: one that releases stops unheard", "speaker/ownership.c", "bool hears = v->connected && !v->holder_alive;",
          "bool hears = !v->holder_alive;", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("nobody is left: one that releases stops though the new holder does not answer", "speaker/ownership.c",
          "bool hears = v->connected && !v->holder_alive;", "bool hears = v->connected;", ["ownership_times", "ownership_rival", "ownership"]),
    Fault("nobody is left: the record is not read before its word is taken", "speaker/ownership_turn.c", "return !o->unanswered;\n", "return true;\n",
          ["ownership_times", "ownership_rival", "ownership"]),
    Fault("an outage that is none: one watch in trouble counts as the API server away", "speaker/cluster.c",
          "\tbool records = c->model.records_synced && !c->watches[LEASES].trouble;\n",
          "\tbool records = c->model.records_synced && !cluster_trouble(c);\n", rows=[("move-after-api", 40)]),
    Fault("stale frames answered after a stop: sleep is not noticed", "speaker/wakefulness.c", "if (due == CLOCK_NEVER)", "if (true)",
          ["wakefulness"], rows=[("stopped", 40)]),
    Fault("stale frames answered after a stop: sleep is noticed too late", "speaker/wakefulness.c", "#define NAP CLOCK_S", "#define NAP (7 * CLOCK_S)",
          rows=[("stopped", 40)]),
    Fault("stale frames answered after a stop: what was ours is not checked", "speaker/speaker_role.c", "\t\townership_woke(&o->core, now);\n", "", rows=[("stopped", 60)]),
]
