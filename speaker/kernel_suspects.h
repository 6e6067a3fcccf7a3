/* Nodes whose kernel answers ARP for an address that another node announces (IPVS without strictARP). A kernel only answers, it
 * never announces; a speaker that wrongly thinks it has the address settles that within a second of hearing the owner. So a
 * node that answers, and a second later again, under the same record, is guilty. What is found here is for the operator only:
 * our record may be the one that is old, so an answer stays a claim that the ownership rules have to settle. Pure. */
#ifndef SPEAKER_KERNEL_SUSPECTS_H
#define SPEAKER_KERNEL_SUSPECTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Microseconds. */
struct kernel_suspect_times {
	int64_t again;    /* until the second question */
	int64_t forget;   /* a node that did not answer for so long is no suspect any more */
};
extern const struct kernel_suspect_times KERNEL_SUSPECT_TIMES;

struct kernel_suspects;

struct kernel_suspects *kernel_suspects_new(const struct kernel_suspect_times *times);   /* borrowed */
void kernel_suspects_free(struct kernel_suspects *k);   /* NULL is fine */

/* `node` answers a question for the address (host byte order), which is another's by the record (its uid and epoch). True: the
 * operator is to be told now. */
bool kernel_suspects_answered(struct kernel_suspects *k, uint32_t address, const char *node, const char *uid, int64_t epoch, int64_t now);

/* It announces the address: that is no kernel. */
void kernel_suspects_announced(struct kernel_suspects *k, uint32_t address, const char *node);

/* It is known for sure. True: that is news. Once all that is so was said, kernel_suspects_accused: what is so no longer is forgotten. */
bool kernel_suspects_accuse(struct kernel_suspects *k, uint32_t address, const char *node, const char *uid, int64_t epoch);
void kernel_suspects_accused(struct kernel_suspects *k);

size_t kernel_suspects_count(const struct kernel_suspects *k);

/* The next address to ask for now; call until false. Who was not heard for long is forgotten by the way. */
bool kernel_suspects_ask(struct kernel_suspects *k, int64_t now, uint32_t *addressp);
int64_t kernel_suspects_deadline(const struct kernel_suspects *k);

#endif
