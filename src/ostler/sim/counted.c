/* Conservative backfilling and reserved-K on counted processors, for long queues.
 *
 * The loops of schedule/counted_conservative.py and schedule/counted_reserved.py once more, step by
 * step, with the same starts to the second; why each step is right is said there. Ostler works
 * without this file and counted.h. Where a compiler was there when it was installed,
 * ostler/sim/compiled.py loads what scripts/compile_helper.py made of them.
 *
 * No input, no output, no state outside of `struct replay`, and no memory beyond what `replay_open`
 * takes: every list has room for all jobs from the start.
 */

#include "counted.h"

#define LATEST (INT64_C(1) << 61) /* sums of two that are no later do not overflow */
#define LEVELS 64

/* ── a replay ───────────────────────────────────────────────────────────────────────────────── */

/* What a promise that moved, or an early end, gave free: who it was, from when to when, and the
 * levels of which a count became available: bit z is set if, somewhere there, a count of level z is
 * free now that was not before. */
struct freed {
    i64 job, begin, end;
    uint64_t levels;
};

static const struct freed nothing = {NEVER, NEVER, 0, 0};

struct list {
    i64 *jobs;
    i64 count;
};

struct log {
    struct freed *of;
    i64 count;
};

struct replay {
    /* what is replayed; of the caller */
    const i64 *submit, *run, *size, *estimate;
    i64 *starts; /* or promises */
    i64 jobs, procs;
    i64 most; /* promises at a time; 0: to everybody */
    int batch;
    /* how far it is */
    i64 submitted, now, started;
    i64 *order;  /* of starts, by job */
    i64 *number; /* of each job: itself */
    i64 *ends;   /* by job */
    struct heap endings;
    struct list waiting; /* in order of arrival */
    struct profile profile;
    /* conservative */
    struct heap promises; /* that are still to come */
    struct list due;      /* who starts in this second */
    struct log tails;     /* by early ends since the last sweep */
    struct log moved;     /* by the moves of the last sweep */
    struct log shown;
    /* reserved-K: what the promises leave of the profile of running jobs */
    struct profile plan;
    i64 promised;
    int freed;
};

static void note_start(struct replay *r, i64 job, i64 now)
{
    r->starts[job] = now;
    r->ends[job] = now + r->run[job];
    r->order[job] = r->started++;
    heap_push(&r->endings, job);
}

static void append(struct list *list, i64 job)
{
    list->jobs[list->count++] = job;
}

/* ── conservative ───────────────────────────────────────────────────────────────────────────── */

static int level(const struct replay *r, i64 count)
{
    return (int)(count * (LEVELS - 1) / r->procs);
}

/* Return the bits from one level to another, both among them. */
static uint64_t levels(const struct replay *r, i64 fewest, i64 most)
{
    return UINT64_MAX >> (LEVELS - 1 - level(r, most)) & UINT64_MAX << level(r, fewest);
}

static void note_freed(const struct replay *r, struct log *log, i64 job, i64 begin, i64 end)
{
    const struct profile *p = &r->profile;
    i64 piece = bisect(p, begin + 1, 0) - 1;
    i64 least = p->free[piece], most = least;
    while (p->second[++piece] < end) {
        if (p->free[piece] < least)
            least = p->free[piece];
        if (p->free[piece] > most)
            most = p->free[piece];
    }
    struct freed freed = {job, begin, end, levels(r, least - r->size[job] + 1, most)};
    log->of[log->count++] = freed;
}

/* Return both as one, to be shown to those before the first one's job. */
static struct freed together(struct freed one, const struct freed *other)
{
    if (other->begin < one.begin)
        one.begin = other->begin;
    if (other->end > one.end)
        one.end = other->end;
    one.levels |= other->levels;
    return one;
}

static struct freed all_of(struct freed sum, const struct log *log)
{
    for (i64 each = 0; each < log->count; each++)
        sum = together(sum, &log->of[each]);
    return sum;
}

/* Put a promise to an earlier second. */
static void move(struct replay *r, i64 job, i64 begin, i64 now)
{
    i64 size = r->size[job], promise = r->starts[job];
    i64 end = begin + r->estimate[job], old_end = promise + r->estimate[job];
    i64 from = end > promise ? end : promise;
    profile_add(&r->profile, begin, end < promise ? end : promise, -size);
    profile_add(&r->profile, from, old_end, size);
    r->starts[job] = begin;
    note_freed(r, &r->moved, job, from, old_end);
    rise(&r->promises, r->promises.place[job], job);
    if (begin == now) {
        heap_pop(&r->promises); /* nobody is promised an earlier second than this one */
        append(&r->due, job);
    }
}

/* Make the sums of what the moves of the last sweep freed: of nothing, of the last move, and so on
 * up to all of it; each to be shown to those before its job. */
static void sum_up(struct replay *r)
{
    struct freed sum = nothing;
    r->shown.count = 0;
    r->shown.of[r->shown.count++] = sum;
    while (r->moved.count) {
        const struct freed *last = &r->moved.of[--r->moved.count];
        sum = together(sum, last);
        sum.job = last->job;
        r->shown.of[r->shown.count++] = sum;
    }
}

/* Return the earlier second to which a promise can be put, or NEVER. What was freed since it was
 * last tried is between `first` and `end`. */
static i64 improved(const struct replay *r, i64 job, i64 first, i64 end, i64 now)
{
    i64 promise = r->starts[job], last = promise, length = r->estimate[job];
    const struct profile *p = &r->profile;
    /* From the promised second on it has enough in any case. So, if it fits in the second before
     * that, its window may reach beyond; else it must end before. */
    if (last > end || p->free[bisect(p, last, 0) - 1] < r->size[job]) {
        last -= length;
        if (end < last)
            last = end;
    }
    first -= length - 1;
    if (first < now)
        first = now;
    if (first >= last)
        return NEVER;
    return earliest(p, r->size[job], length, first, last, promise);
}

/* Lift each promise in order of arrival, and put it back as early as the others allow. */
static void sweep(struct replay *r, i64 now)
{
    struct freed tails = all_of(nothing, &r->tails);
    if (!r->tails.count && !r->moved.count)
        return;
    r->tails.count = 0;
    sum_up(r);
    struct freed shown = r->shown.of[r->shown.count - 1];
    i64 kept = 0, each = 0;
    for (; each < r->waiting.count; each++) {
        i64 job = r->waiting.jobs[each];
        if (job >= shown.job) {
            while (job >= r->shown.of[r->shown.count - 1].job)
                r->shown.count--;
            shown = all_of(r->shown.of[r->shown.count - 1], &r->moved);
            if (!shown.levels && !tails.levels)
                break;
        }
        uint64_t bit = UINT64_C(1) << level(r, r->size[job]);
        i64 begin = NEVER;
        if (bit & tails.levels)
            begin = improved(r, job, now,
                             bit & shown.levels && shown.end > tails.end ? shown.end : tails.end,
                             now);
        else if (bit & shown.levels)
            begin = improved(r, job, shown.begin, shown.end, now);
        if (begin != NEVER) {
            move(r, job, begin, now);
            shown = together(shown, &r->moved.of[r->moved.count - 1]);
        }
        if (begin != now)
            r->waiting.jobs[kept++] = job;
    }
    memmove(r->waiting.jobs + kept, r->waiting.jobs + each,
            (size_t)(r->waiting.count - each) * sizeof(i64));
    r->waiting.count -= each - kept;
}

static void place(struct replay *r, i64 job, i64 now)
{
    i64 size = r->size[job], length = r->estimate[job];
    i64 begin = earliest(&r->profile, size, length, now, NEVER, NEVER);
    profile_add(&r->profile, begin, begin + length, -size);
    r->starts[job] = begin;
    if (begin == now) {
        append(&r->due, job);
    } else {
        append(&r->waiting, job);
        heap_push(&r->promises, job);
    }
}

/* Give back what a job does not use of its time. */
static void end_promised(struct replay *r, i64 job, i64 now)
{
    i64 unused = r->estimate[job] - r->run[job];
    if (unused) {
        profile_add(&r->profile, now, now + unused, r->size[job]);
        note_freed(r, &r->tails, job, now, now + unused);
    }
}

/* Take those whose promised second is come from who waits: they count as started. */
static void take_due(struct replay *r, i64 now)
{
    while (heap_next(&r->promises) <= now)
        append(&r->due, heap_pop(&r->promises));
    if (!r->due.count)
        return;
    i64 kept = 0;
    for (i64 each = 0; each < r->waiting.count; each++) {
        i64 job = r->waiting.jobs[each];
        if (r->starts[job] > now)
            r->waiting.jobs[kept++] = job;
    }
    r->waiting.count = kept;
}

static int by_number(const void *one, const void *other)
{
    i64 a = *(const i64 *)one, b = *(const i64 *)other;
    return (a > b) - (a < b);
}

static void conservative(struct replay *r, i64 now, i64 first, i64 behind)
{
    int ended = 0;
    r->due.count = 0;
    profile_forget(&r->profile, now);
    take_due(r, now);
    if (!r->batch)
        for (i64 job = first; job < behind; job++)
            place(r, job, now);
    while (heap_next(&r->endings) == now) {
        end_promised(r, heap_pop(&r->endings), now);
        ended = 1;
        if (!r->batch)
            sweep(r, now);
    }
    if (r->batch) {
        if (ended)
            sweep(r, now);
        for (i64 job = first; job < behind; job++)
            place(r, job, now);
    }
    qsort(r->due.jobs, (size_t)r->due.count, sizeof(i64), by_number);
    for (i64 each = 0; each < r->due.count; each++)
        note_start(r, r->due.jobs[each], now);
}

/* ── reserved-K ─────────────────────────────────────────────────────────────────────────────── */

/* Start a job if it can; else promise it a start if it is one of the first. */
static int start(struct replay *r, i64 job, i64 now)
{
    i64 size = r->size[job], length = r->estimate[job], begin;
    if (r->promised < r->most)
        begin = earliest(&r->plan, size, length, now, NEVER, NEVER);
    else if (size > r->plan.free[0])
        return 0;
    else
        begin = earliest(&r->plan, size, length, now, now + 1, NEVER);
    if (begin == NEVER)
        return 0;
    profile_add(&r->plan, begin, begin + length, -size);
    if (begin > now) {
        r->promised++;
        return 0;
    }
    profile_add(&r->profile, now, now + length, -size);
    note_start(r, job, now);
    return 1;
}

/* Make the plan anew if processors were freed; else nobody but a newcomer can start. */
static void pass(struct replay *r, i64 now, i64 newcomers)
{
    i64 first = r->waiting.count - newcomers;
    if (r->freed) {
        r->freed = 0;
        profile_copy(&r->plan, &r->profile);
        r->promised = 0;
        first = 0;
    }
    i64 kept = first;
    for (i64 each = first; each < r->waiting.count; each++) {
        i64 job = r->waiting.jobs[each];
        if (!start(r, job, now))
            r->waiting.jobs[kept++] = job;
    }
    r->waiting.count = kept;
}

static void end_reserved(struct replay *r, i64 job, i64 now)
{
    i64 unused = r->estimate[job] - r->run[job];
    if (unused) {
        profile_add(&r->profile, now, now + unused, r->size[job]);
        r->freed = 1;
    }
}

static void reserved(struct replay *r, i64 now, i64 first, i64 behind)
{
    i64 pieces = r->profile.count;
    profile_forget(&r->profile, now);
    profile_forget(&r->plan, now);
    r->freed = r->profile.count < pieces; /* planned ends come before anything else happens */
    if (!r->batch)
        for (i64 job = first; job < behind; job++) {
            append(&r->waiting, job);
            pass(r, now, 1);
        }
    while (heap_next(&r->endings) == now) {
        end_reserved(r, heap_pop(&r->endings), now);
        if (!r->batch)
            pass(r, now, 0);
    }
    if (r->batch) {
        for (i64 job = first; job < behind; job++)
            append(&r->waiting, job);
        pass(r, now, behind - first);
    }
}

/* ── what is called from outside ────────────────────────────────────────────────────────────── */

/* Return the digest of the text that this was made from. */
const char *replay_source(void)
{
    return SOURCE;
}

static int valid(const struct replay *r)
{
    i64 latest = 0, before = 0;
    for (i64 job = 0; job < r->jobs; job++) {
        if (r->submit[job] < before || r->submit[job] > LATEST)
            return 0;
        if (r->run[job] < 1 || r->run[job] > r->estimate[job] || r->estimate[job] > LATEST)
            return 0;
        if (r->size[job] < 1 || r->size[job] > r->procs)
            return 0;
        before = r->submit[job];
        latest += r->estimate[job]; /* all of them one after the other */
        if (latest > LATEST)
            return 0;
    }
    return before + latest <= LATEST && r->procs >= 1 && r->procs <= LATEST / LEVELS;
}

static int take_memory(struct replay *r)
{
    size_t jobs = (size_t)r->jobs + 1;
    i64 **numbers[] = {
        &r->order, &r->number, &r->ends, &r->endings.jobs, &r->endings.place, &r->waiting.jobs,
        &r->promises.jobs, &r->promises.place, &r->due.jobs,
    };
    /* A piece begins at 0 and NEVER, where a job begins or ends, and twice more amid a move. */
    i64 **pieces[] = {&r->profile.second, &r->profile.free, &r->plan.second, &r->plan.free};
    struct freed **logs[] = {&r->tails.of, &r->moved.of, &r->shown.of};
    int complete = 1;
    for (size_t each = 0; each < sizeof numbers / sizeof *numbers; each++)
        complete &= (*numbers[each] = calloc(jobs, sizeof(i64))) != NULL;
    for (size_t each = 0; each < sizeof pieces / sizeof *pieces; each++)
        complete &= (*pieces[each] = calloc(2 * jobs + 6, sizeof(i64))) != NULL;
    for (size_t each = 0; each < sizeof logs / sizeof *logs; each++)
        complete &= (*logs[each] = calloc(jobs, sizeof(struct freed))) != NULL;
    return complete;
}

void replay_close(struct replay *r)
{
    free(r->order), free(r->number), free(r->ends);
    free(r->endings.jobs), free(r->endings.place), free(r->waiting.jobs);
    free(r->promises.jobs), free(r->promises.place), free(r->due.jobs);
    free(r->profile.second), free(r->profile.free), free(r->plan.second), free(r->plan.free);
    free(r->tails.of), free(r->moved.of), free(r->shown.of);
    free(r);
}

/* Begin a replay of jobs in order of arrival; the five lists stay there until it is closed.
 * most: how many are promised a start at a time, 0: everybody is. Return NULL without memory, or
 * if a job breaks the rules of `Work` in schedule/counted_work.py or a second could be too late. */
struct replay *replay_open(i64 jobs, i64 procs, i64 most, int batch, const i64 *submit,
                           const i64 *run, const i64 *size, const i64 *estimate, i64 *starts)
{
    struct replay *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->jobs = jobs, r->procs = procs, r->most = most, r->batch = batch;
    r->submit = submit, r->run = run, r->size = size, r->estimate = estimate, r->starts = starts;
    if (!valid(r) || !take_memory(r)) {
        replay_close(r);
        return NULL;
    }
    for (i64 job = 0; job < jobs; job++)
        r->number[job] = job;
    r->endings.second = r->ends, r->endings.order = r->order;
    r->promises.second = r->starts, r->promises.order = r->number;
    profile_reset(&r->profile, procs);
    profile_reset(&r->plan, procs);
    return r;
}

/* Handle so many of the seconds in which something happens. Return whether there are more. */
int replay_advance(struct replay *r, i64 seconds)
{
    while (seconds-- > 0) {
        i64 arrival = r->submitted < r->jobs ? r->submit[r->submitted] : NEVER;
        i64 end = heap_next(&r->endings), promise = heap_next(&r->promises);
        i64 now = end < promise ? end : promise;
        if (arrival < now)
            now = arrival;
        if (now == NEVER)
            return 0;
        i64 first = r->submitted;
        while (r->submitted < r->jobs && r->submit[r->submitted] == now)
            r->submitted++;
        if (r->most)
            reserved(r, now, first, r->submitted);
        else
            conservative(r, now, first, r->submitted);
    }
    return 1;
}

/* Return how many jobs were submitted so far. */
i64 replay_submitted(const struct replay *r)
{
    return r->submitted;
}
