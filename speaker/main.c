#include <stdio.h>
#include <string.h>

#include "speaker/commands.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} COMMANDS[] = {
	{"run", command_run, "serve LoadBalancer Services: as controller, speaker or both (l2lb run --help)"},
	{"verify", command_verify, "ask on the wire who answers for an address, and whether it is the right node"},
	{"listen", command_listen, "print the ARP frames that come in and what they mean"},
	{"move", command_move, "hand an address over to another node, without a gap"},
	{"drain", command_drain, "hand all addresses of a node over to others, and keep new ones away from it"},
	{"undrain", command_undrain, "let a node have addresses again"},
};
#define N_COMMANDS (sizeof(COMMANDS) / sizeof(COMMANDS[0]))

static void usage(FILE *out)
{
	fprintf(out, "l2lb: addresses for Kubernetes Services of type LoadBalancer, on the local network\n\nusage: l2lb COMMAND [FLAG...]\n\n");
	for (size_t i = 0; i < N_COMMANDS; i++)
		fprintf(out, "  %-10s %s\n", COMMANDS[i].name, COMMANDS[i].help);
	fprintf(out, "  %-10s %s\n  %-10s %s\n", "--help", "print this text", "--version", "print the version");
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : NULL;
	if (!name) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
		usage(stdout);
		return EXIT_DONE;
	}
	if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
		printf("l2lb %s\n", L2LB_VERSION);
		return EXIT_DONE;
	}
	for (size_t i = 0; i < N_COMMANDS; i++)
		if (strcmp(name, COMMANDS[i].name) == 0)
			return COMMANDS[i].run(argc - 2, argv + 2);
	fprintf(stderr, "l2lb: \"%.100s\" is not a command; see l2lb --help\n", name);
	return EXIT_USAGE;
}
