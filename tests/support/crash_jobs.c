/* SPDX-License-Identifier: BSD-2-Clause */
/* Many runs on two threads: a run shares nothing with another. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash_run.h"

struct queue {
	pthread_mutex_t lock;
	const struct cr_job *job;
	size_t count, next;
	struct cr_result *result;
};

static void add(struct cr_result *sum, const struct cr_result *r)
{
	sum->states += r->states;
	sum->deep_states += r->deep_states;
	sum->cuts += r->cuts;
	sum->runs += r->runs;
	sum->recycles += r->recycles;
	sum->journal_writes += r->journal_writes;
	if (r->violated && !sum->violated) {
		sum->violated = true;
		memcpy(sum->text, r->text, sizeof(sum->text));
	}
}

static void *work(void *opaque)
{
	struct queue *q = opaque;

	for (;;) {
		struct cr_result result = { 0 };
		size_t i;
		bool stop;

		pthread_mutex_lock(&q->lock);
		stop = q->result->violated || q->next >= q->count;
		i = q->next++;
		pthread_mutex_unlock(&q->lock);
		if (stop)
			return NULL;
		cr_run(&q->job[i], &result);
		pthread_mutex_lock(&q->lock);
		add(q->result, &result);
		pthread_mutex_unlock(&q->lock);
	}
}

void cr_run_all(const struct cr_job *jobs, size_t count, struct cr_result *result)
{
	struct queue q = { PTHREAD_MUTEX_INITIALIZER, jobs, count, 0, result };
	pthread_t other;

	if (pthread_create(&other, NULL, work, &q) != 0)
		abort();
	work(&q);
	pthread_join(other, NULL);
}
