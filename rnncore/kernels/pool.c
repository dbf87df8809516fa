/* pool.c - a small pool of threads that run the parts of one job.
 *
 * Workers are made when first needed and sleep between jobs. One job runs at a time: whoever
 * finds the pool busy, or calls from inside a job, runs all parts itself, to the same bits,
 * for parts never share what they write. After fork the child begins with an empty pool. */
#ifdef __linux__
#define _GNU_SOURCE     /* sched_getcpu, sched_setaffinity */
#endif
#include "kernels.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum {
    MAX_WORKERS = 255,
    SPINS = 2000,      /* about 20 us of waiting before going to sleep */
    YIELD = 64,        /* and 1 us before letting others run */
};

static pthread_mutex_t owner = PTHREAD_MUTEX_INITIALIZER;   /* held for the whole of a job */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;    /* guards what follows */
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
static pthread_cond_t passed = PTHREAD_COND_INITIALIZER;
static int workers;
static unsigned born[MAX_WORKERS];                          /* the last job before a worker */
static struct { rnn_job run; void *context; int parts, processor; } job;
static atomic_uint number;                                  /* of the present job */
static atomic_int left;                                     /* parts not yet done by workers */
static atomic_int asleep;                                   /* of those that wait for others */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* How often each part of the present job has called rnn_wait, in a cache line of its own: what
 * one part writes goes to the others once, and they write nothing that it has to get back. */
static struct { _Alignas(128) atomic_uint calls; } part_of[MAX_WORKERS + 1];
static _Thread_local int part_here;

/* The i-th moment of waiting without sleep. Now and then it lets another thread run: with more
 * threads than processors, the one waited for may be waiting for this processor. */
static inline void linger(int i)
{
    if (i % YIELD == YIELD - 1)
        sched_yield();
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static int processor(void)
{
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* A worker that was woken where the caller runs would take turns with it: they would sleep and
 * wake in a way that lets no scheduler see two of them waiting. It goes elsewhere, and is left
 * free to be moved again. */
static void step_aside(int caller)
{
#ifdef __linux__
    cpu_set_t all, others;
    if (caller < 0 || sched_getcpu() != caller || sched_getaffinity(0, sizeof all, &all))
        return;
    others = all;
    CPU_CLR(caller, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof others, &others) == 0)
        sched_setaffinity(0, sizeof all, &all);
#else
    (void)caller;
#endif
}

static void *work(void *index)
{
    const int part = (int)(ptrdiff_t)index;
    unsigned seen = born[part - 1];
    part_here = part;
    rnn_enter();
    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&number) == seen; i++)
            linger(i);
        pthread_mutex_lock(&lock);
        while (atomic_load(&number) == seen)
            pthread_cond_wait(&wake, &lock);
        seen = atomic_load(&number);
        const int parts = job.parts, caller = job.processor;
        pthread_mutex_unlock(&lock);
        if (part >= parts)
            continue;
        step_aside(caller);
        job.run(job.context, part, parts);
        if (atomic_fetch_sub(&left, 1) == 1) {
            pthread_mutex_lock(&lock);
            pthread_cond_signal(&finished);
            pthread_mutex_unlock(&lock);
        }
    }
    return NULL;
}

/* Whether every part of the job has called rnn_wait so often. */
static int all_called(unsigned often, int parts)
{
    for (int i = 0; i < parts; i++)
        if (atomic_load(&part_of[i].calls) < often)
            return 0;
    return 1;
}

void rnn_wait(int parts)
{
    if (parts < 2)
        return;
    const unsigned often = atomic_fetch_add(&part_of[part_here].calls, 1) + 1;
    if (all_called(often, parts)) {
        if (atomic_load(&asleep)) {
            pthread_mutex_lock(&lock);
            pthread_cond_broadcast(&passed);
            pthread_mutex_unlock(&lock);
        }
        return;
    }
    for (int i = 0; i < SPINS; i++) {
        linger(i);
        if (all_called(often, parts))
            return;
    }
    pthread_mutex_lock(&lock);
    atomic_fetch_add(&asleep, 1);
    while (!all_called(often, parts))
        pthread_cond_wait(&passed, &lock);
    atomic_fetch_sub(&asleep, 1);
    pthread_mutex_unlock(&lock);
}

/* In a forked child no worker is left, and a lock may be held by a thread that is not there. */
static void forget(void)
{
    pthread_mutex_init(&owner, NULL);
    pthread_mutex_init(&lock, NULL);
    pthread_cond_init(&wake, NULL);
    pthread_cond_init(&finished, NULL);
    pthread_cond_init(&passed, NULL);
    atomic_store(&asleep, 0);
    workers = 0;
}

static void watch_forks(void) { pthread_atfork(NULL, NULL, forget); }

/* Make workers until there are enough for `parts`, or no more can be had; return how many
 * parts can run at once. */
static int recruit(int parts)
{
    pthread_once(&once, watch_forks);
    while (workers < parts - 1 && workers < MAX_WORKERS) {
        pthread_t thread;
        born[workers] = atomic_load(&number);
        if (pthread_create(&thread, NULL, work, (void *)(ptrdiff_t)(workers + 1)))
            break;
        pthread_detach(thread);
        workers++;
    }
    return workers + 1 < parts ? workers + 1 : parts;
}

void rnn_run_parts(rnn_job run, void *context, int parts)
{
    if (parts < 2 || pthread_mutex_trylock(&owner)) {
        run(context, 0, 1);
        return;
    }
    pthread_mutex_lock(&lock);
    parts = recruit(parts);
    job.run = run, job.context = context, job.parts = parts, job.processor = processor();
    part_here = 0;
    for (int i = 0; i < parts; i++)
        atomic_store(&part_of[i].calls, 0);
    atomic_store(&left, parts - 1);
    atomic_fetch_add(&number, 1);
    pthread_cond_broadcast(&wake);
    pthread_mutex_unlock(&lock);
    run(context, 0, parts);
    for (int i = 0; i < SPINS && atomic_load(&left) > 0; i++)
        linger(i);
    pthread_mutex_lock(&lock);
    while (atomic_load(&left) > 0)
        pthread_cond_wait(&finished, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&owner);
}
#else
void rnn_run_parts(rnn_job run, void *context, int parts)
{
    (void)parts;
    run(context, 0, 1);
}

void rnn_wait(int parts) { (void)parts; }
#endif
