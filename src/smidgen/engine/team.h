// Threads that work on one thing together; they live as long as the call that needs them.
#ifndef SMIDGEN_TEAM_H
#define SMIDGEN_TEAM_H
#define SMIDGEN_THREADS // there are more than one: see stream.h

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

enum { SPIN = 2000, MOST_THREADS = 256 };

typedef struct {
  int threads;
  const atomic_int *stop; // set by whoever wants the work to end
  atomic_int stopped;     // the same at the last meeting, so that all threads leave at the same place
  pthread_mutex_t lock;
  pthread_cond_t met; // for those who have waited a while
  _Alignas(64) atomic_int ticket;
  _Alignas(64) atomic_int arrived;
  _Alignas(64) atomic_int meetings;
} Team;

static int team_size(const Team *team) { return team->threads; }
// 0, 1, 2 ... since the last meeting, each to one thread.
static int take_ticket(Team *team) { return atomic_fetch_add(&team->ticket, 1); }
static int is_stopped(const Team *team) { return atomic_load(&team->stopped); }

// Wait until every thread is here.
static void meet(Team *team) {
  int meeting = atomic_load(&team->meetings);
  if (atomic_fetch_add(&team->arrived, 1) == team->threads - 1) {
    atomic_store(&team->arrived, 0);
    atomic_store(&team->ticket, 0);
    atomic_store(&team->stopped, team->stop && atomic_load(team->stop));
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->meetings, meeting + 1);
    pthread_cond_broadcast(&team->met);
    pthread_mutex_unlock(&team->lock);
    return;
  }
  for (int i = 0; i < SPIN; i++) {
    if (atomic_load(&team->meetings) != meeting) return;
#if defined(__SSE2__)
    _mm_pause();
#endif
  }
  pthread_mutex_lock(&team->lock);
  while (atomic_load(&team->meetings) == meeting) pthread_cond_wait(&team->met, &team->lock);
  pthread_mutex_unlock(&team->lock);
}

typedef struct {
  void (*work)(void *job, Team *team, int number);
  void *job;
  Team *team;
  atomic_int *begun; // 0 until the size of the team is known
  int number;
} Member;

static void *start_member(void *argument) {
  Member *member = argument;
  while (!atomic_load(member->begun)) sched_yield();
  member->work(member->job, member->team, member->number);
  return NULL;
}

// Run work(job, team, number) in `threads` threads, this one being number 0; in fewer where no more can be had.
static void in_team(int threads, const atomic_int *stop, void (*work)(void *, Team *, int), void *job) {
  Team team = {.stop = stop, .lock = PTHREAD_MUTEX_INITIALIZER, .met = PTHREAD_COND_INITIALIZER};
  atomic_int begun = 0;
  Member members[MOST_THREADS];
  pthread_t handles[MOST_THREADS];
  int made = 1;
  for (; made < threads; made++) {
    members[made] = (Member){work, job, &team, &begun, made};
    if (pthread_create(&handles[made], NULL, start_member, &members[made])) break;
  }
  team.threads = made;
  atomic_store(&begun, 1);
  work(job, &team, 0);
  for (int i = 1; i < made; i++) pthread_join(handles[i], NULL);
}

#endif
