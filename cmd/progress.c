/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How far a job is: a bar on a terminal, lines elsewhere, JSON lines on demand, one line
 * for each SIGUSR1. All on stderr. The library calls report() from one thread at a time.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "report.h"

static struct {
	struct fvd_progress progress;
	const char *command, *what;
	double start, last;	/* seconds; of this phase, of the last line */
	uint64_t done;		/* of this phase */
	bool bar_shown, terminal, ended;
} view;

struct state {
	const char *what;
	uint64_t done, total;
	double elapsed, rate, left;	/* seconds, bytes a second, seconds (-1: not known) */
	unsigned percent;
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static const char *time_text(double seconds, char *buf, size_t cap)
{
	uint64_t s = (uint64_t)(seconds + 0.5);

	if (seconds < 0 || s > 99 * 3600)
		snprintf(buf, cap, "--:--");
	else if (s >= 3600)
		snprintf(buf, cap, "%u:%02u:%02u", (unsigned)(s / 3600),
			 (unsigned)(s / 60 % 60), (unsigned)(s % 60));
	else
		snprintf(buf, cap, "%02u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
	return buf;
}

static struct state measure(const char *what, uint64_t done, uint64_t total)
{
	struct state s = { .what = what, .done = done, .total = total, .left = -1 };

	s.elapsed = now() - view.start;
	if (s.elapsed > 0)
		s.rate = (double)done / s.elapsed;
	if (total && done >= total)
		s.left = 0;
	else if (total && s.rate > 0)
		s.left = (double)(total - done) / s.rate;
	if (total)
		s.percent = done >= total ? 100 : (unsigned)((double)done * 100 / (double)total);
	return s;
}

static void put_json(const struct state *s)
{
	struct fvd_json j;
	const char *text;

	fvd_json_init(&j, true);
	fvd_json_object_begin(&j, NULL);
	fvd_json_object_begin(&j, "progress");
	fvd_json_string(&j, "command", view.command);
	fvd_json_string(&j, "phase", s->what);
	fvd_json_uint(&j, "done", s->done);
	fvd_json_uint(&j, "total", s->total);
	fvd_json_uint(&j, "percent", s->percent);
	fvd_json_uint(&j, "bytes-per-second", (uint64_t)s->rate);
	if (s->left >= 0)
		fvd_json_uint(&j, "seconds-left", (uint64_t)(s->left + 0.5));
	else
		fvd_json_null(&j, "seconds-left");
	fvd_json_object_end(&j);
	fvd_json_object_end(&j);
	text = fvd_json_finish(&j, NULL);
	if (text)
		fputs(text, stderr);
	fvd_json_fini(&j);
}

static void put_line(const struct state *s)
{
	char left[16];

	progress_clear();
	if (!s->total) {
		fprintf(stderr, "%s: %s, %s/s\n", s->what, size_text(s->done),
			size_text((uint64_t)s->rate));
		return;
	}
	fprintf(stderr, "%s: %u%%, %s of %s, %s/s, %s left\n", s->what, s->percent,
		size_text(s->done), size_text(s->total), size_text((uint64_t)s->rate),
		time_text(s->left, left, sizeof(left)));
}

static unsigned terminal_width(void)
{
	struct winsize ws;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) < 0 || ws.ws_col == 0)
		return 80;
	return ws.ws_col;
}

/* The end of a pipe is not known before it comes: no bar. */
static void put_count(const struct state *s)
{
	char line[128], took[16];
	unsigned width = terminal_width();

	snprintf(line, sizeof(line), "%s %s, %s/s %s", s->what, size_text(s->done),
		 size_text((uint64_t)s->rate), time_text(s->elapsed, took, sizeof(took)));
	fprintf(stderr, "\r%.*s\033[K", (int)(width > 1 ? width - 1 : 1), line);
	fflush(stderr);
	view.bar_shown = true;
}

/*
 * "convert  42% [=====        ] 1.2 GiB/s 00:03": the bar takes what the rest leaves. The
 * time is what is left; of a phase that has ended, what it took.
 */
static void put_bar(const struct state *s)
{
	char head[64], tail[64], left[16], bar[160];
	unsigned width = terminal_width(), used, room, filled;

	snprintf(head, sizeof(head), "%s %3u%%", s->what, s->percent);
	snprintf(tail, sizeof(tail), "%s/s %s", size_text((uint64_t)s->rate),
		 time_text(view.ended ? s->elapsed : s->left, left, sizeof(left)));
	/* The last column stays free, else some terminals wrap. */
	used = (unsigned)(strlen(head) + strlen(tail)) + 2;
	room = width > used ? width - used : 0;
	if (room >= sizeof(bar))
		room = sizeof(bar) - 1;
	if (room >= 8) {
		filled = (room - 3) * s->percent / 100;
		memset(bar, ' ', room);
		bar[0] = '[';
		memset(bar + 1, '=', filled);
		bar[room - 2] = ']';
		bar[room] = '\0';
		fprintf(stderr, "\r%s %s%s\033[K", head, bar, tail);
	} else {
		fprintf(stderr, "\r%.*s\033[K", (int)(width > 1 ? width - 1 : 1), head);
	}
	if (view.ended)
		fputc('\n', stderr);
	fflush(stderr);
	view.bar_shown = !view.ended;
}

void progress_clear(void)
{
	if (view.bar_shown)
		fputs("\r\033[K", stderr);
	view.bar_shown = false;
}

static void begin_phase(const char *what, double t)
{
	view.what = what;
	view.ended = false;
	/* The library first reports 100 ms after the phase began. */
	view.start = t - 0.1;
	view.last = 0;
}

static void put(const struct state *s, double t)
{
	if (common.progress_json)
		put_json(s);
	else
		put_line(s);
	view.last = t;
}

static void report(void *opaque, const char *what, uint64_t done, uint64_t total)
{
	struct state s;
	double t = now();

	(void)opaque;
	/* The same phase again, of another image, starts from the beginning. */
	if (what != view.what || done < view.done)
		begin_phase(what, t);
	view.done = done;
	s = measure(what, done, total);
	if (signals_progress_wanted())
		put(&s, t);
	if (!common.progress || view.ended)
		return;
	view.ended = total && done >= total;
	if (view.terminal && !common.progress_json)
		(total ? put_bar : put_count)(&s);
	else if (t - view.last >= 1 || view.ended)
		put(&s, t);
}

static bool cancelled(void *opaque)
{
	(void)opaque;
	return signals_interrupted();
}

struct fvd_progress *progress_get(const struct command *cmd)
{
	view.command = cmd->name;
	view.terminal = isatty(STDERR_FILENO);
	view.start = now();
	view.progress = (struct fvd_progress){ .report = report, .cancelled = cancelled };
	return &view.progress;
}
