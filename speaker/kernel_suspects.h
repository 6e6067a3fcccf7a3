/* Nodes whose kernel answers ARP for an address that another node announces (IPVS without strictARP). A kernel only answers, it
 * never announces; a speaker that wrongly thinks it has the address settles that within a second of hearing the owner. So a
 * node that answers, and a second later again, under the same record, is guilty. Pure. */
#ifndef SPEAKER_KERNEL_SUSPECTS_H
#define SPEAKER_KERNEL_SUSPECTS_H

#include <stdbool.h>
#include <stdint.h>

#define KERNEL_AGAIN INT64_C(1000000)      /* microseconds until the second question */
#define KERNEL_FORGET INT64_C(300000000)   /* a suspicion so old begins anew */

struct kernel_suspects;

struct kernel_suspects *kernel_suspects_new(void);
void kernel_suspects_free(struct kernel_suspects *k);   /* NULL is fine */

enum kernel_verdict {
	KERNEL_NOT,      /* take it for the node's own word */
	KERNEL_ACCUSE,   /* its kernel: the operator is to be told now */
	KERNEL_KNOWN,    /* its kernel, as was told */
};

/* `node` answers a question for the address (host byte order), which by the record of this epoch is another's. */
enum kernel_verdict kernel_suspects_answered(struct kernel_suspects *k, uint32_t address, const char *node, int64_t epoch, int64_t now);

/* It announces the address: that is no kernel. */
void kernel_suspects_announced(struct kernel_suspects *k, uint32_t address, const char *node);

/* It is known for sure. True: that is news. */
bool kernel_suspects_accuse(struct kernel_suspects *k, uint32_t address, const char *node, int64_t epoch);

/* The next address to ask for now; call until false. */
bool kernel_suspects_ask(struct kernel_suspects *k, int64_t now, uint32_t *addressp);
int64_t kernel_suspects_deadline(const struct kernel_suspects *k);

#endif
