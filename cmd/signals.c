/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGINT, SIGTERM and SIGHUP ask the job to end: it sees the flag at its next step, removes
 * its temporary file or closes its image, and main.c then ends as the signal would have. A
 * second one of the same kind is not waited for.
 */
#include <signal.h>
#include <stddef.h>

#include "report.h"

static volatile sig_atomic_t interrupted, progress_wanted;

static void on_interrupt(int sig)
{
	interrupted = sig;
}

static void on_progress(int sig)
{
	(void)sig;
	progress_wanted = 1;
}

/* What the parent chose to ignore (nohup, background jobs) stays ignored. */
static void catch(int sig, void (*handler)(int), int flags)
{
	struct sigaction old, act = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&act.sa_mask);
	if (sigaction(sig, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	sigaction(sig, &act, NULL);
}

void signals_install(void)
{
	catch(SIGINT, on_interrupt, (int)SA_RESETHAND);
	catch(SIGTERM, on_interrupt, (int)SA_RESETHAND);
	catch(SIGHUP, on_interrupt, (int)SA_RESETHAND);
	catch(SIGUSR1, on_progress, SA_RESTART);
	/* A closed pipe is a failed write, seen where it happens, not a sudden end. */
	signal(SIGPIPE, SIG_IGN);
	/* and so is a file that grows past the limit (EFBIG) */
	signal(SIGXFSZ, SIG_IGN);
}

bool signals_interrupted(void)
{
	return interrupted != 0;
}

bool signals_progress_wanted(void)
{
	bool wanted = progress_wanted != 0;

	progress_wanted = 0;
	return wanted;
}

void signals_reraise(void)
{
	int sig = interrupted;

	if (sig) {
		signal(sig, SIG_DFL);
		raise(sig);
	}
}
