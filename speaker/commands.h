/* The command table: one function per command, one file per function. Each gets the arguments behind its name and returns
 * the exit status: 0 done, 1 something could not be done, 2 usage or configuration, 3 API server not reachable or not
 * allowed, 4 asked for, and not done in time. */
#ifndef SPEAKER_COMMANDS_H
#define SPEAKER_COMMANDS_H

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_API = 3, EXIT_PENDING = 4 };

int command_run(int argc, char **argv);
int command_verify(int argc, char **argv);
int command_listen(int argc, char **argv);
int command_move(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_undrain(int argc, char **argv);   /* in command_drain.c */

#endif
