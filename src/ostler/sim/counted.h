/* For counted.c: how many processors are free when, and jobs in order of a second. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;

#define NEVER INT64_MAX

/* ── how many processors are free from which second on ──────────────────────────────────────── */

/* Piece i reaches from second[i] to second[i + 1]; the last second is NEVER. Neighbours differ. */
struct profile {
    i64 *second, *free;
    i64 count;
};

/* Return the first piece from `from` on that begins at a second or later. */
static i64 bisect(const struct profile *p, i64 second, i64 from)
{
    i64 low = from, high = p->count;
    while (low < high) {
        i64 middle = low + (high - low) / 2;
        if (p->second[middle] < second)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Shift the pieces from `from` on by so many places, with what is in them. */
static void shift(struct profile *p, i64 from, i64 places)
{
    size_t bytes = (size_t)(p->count - from) * sizeof(i64);
    memmove(p->second + from + places, p->second + from, bytes);
    memmove(p->free + from + places, p->free + from, bytes);
    p->count += places;
}

static void profile_reset(struct profile *p, i64 procs)
{
    p->count = 2;
    p->second[0] = 0, p->free[0] = procs;
    p->second[1] = NEVER, p->free[1] = 0;
}

static void profile_copy(struct profile *to, const struct profile *from)
{
    to->count = from->count;
    memcpy(to->second, from->second, (size_t)from->count * sizeof(i64));
    memcpy(to->free, from->free, (size_t)from->count * sizeof(i64));
}

/* Let the first piece begin now. */
static void profile_forget(struct profile *p, i64 now)
{
    i64 first = bisect(p, now + 1, 0) - 1;
    if (first > 0)
        shift(p, first, -first);
    p->second[0] = now;
}

/* Return the piece that begins at a second; split the one that has it if need be. */
static i64 split(struct profile *p, i64 second, i64 from)
{
    i64 piece = bisect(p, second, from);
    if (p->second[piece] != second) {
        shift(p, piece, 1);
        p->second[piece] = second;
        p->free[piece] = p->free[piece - 1];
    }
    return piece;
}

/* Let one piece go that is like the one before. */
static void join(struct profile *p, i64 piece)
{
    if (piece > 0 && p->free[piece] == p->free[piece - 1])
        shift(p, piece + 1, -1);
}

/* Free so many processors between two seconds, begin < end; take them if count < 0. */
static void profile_add(struct profile *p, i64 begin, i64 end, i64 count)
{
    i64 first = split(p, begin, 0);
    i64 last = split(p, end, first);
    for (i64 piece = first; piece < last; piece++)
        p->free[piece] += count;
    join(p, last);
    join(p, first);
}

/* Return the first second from `begin` on at which `size` are free for `length` seconds, or NEVER
 * if there is none before `end`. own: from then on enough is free in any case, because what asks
 * holds it; end <= own. */
static i64 earliest(const struct profile *p, i64 size, i64 length, i64 begin, i64 end, i64 own)
{
    const i64 *second = p->second, *counts = p->free;
    for (;;) {
        i64 until = begin + length < own ? begin + length : own;
        i64 piece = bisect(p, until, 0) - 1;
        while (counts[piece] >= size) {
            if (second[piece] <= begin)
                return begin;
            piece--;
        }
        /* No window that has this piece will do: go on behind it, and behind its like. */
        do
            piece++;
        while (counts[piece] < size);
        begin = second[piece];
        if (begin >= end)
            return NEVER;
    }
}

/* ── jobs by a second ───────────────────────────────────────────────────────────────────────── */

/* A heap by second[job], ties by order[job]; place[job] tells where a job is. */
struct heap {
    i64 *jobs, *place;
    const i64 *second, *order;
    i64 count;
};

static int before(const struct heap *h, i64 one, i64 other)
{
    if (h->second[one] != h->second[other])
        return h->second[one] < h->second[other];
    return h->order[one] < h->order[other];
}

static void set(struct heap *h, i64 place, i64 job)
{
    h->jobs[place] = job;
    h->place[job] = place;
}

/* Put a job where it belongs: there, or nearer to the top. */
static void rise(struct heap *h, i64 place, i64 job)
{
    while (place > 0) {
        i64 above = (place - 1) / 2;
        if (!before(h, job, h->jobs[above]))
            break;
        set(h, place, h->jobs[above]);
        place = above;
    }
    set(h, place, job);
}

/* Put a job where it belongs: there, or further from the top. */
static void sink(struct heap *h, i64 place, i64 job)
{
    for (;;) {
        i64 below = 2 * place + 1;
        if (below >= h->count)
            break;
        if (below + 1 < h->count && before(h, h->jobs[below + 1], h->jobs[below]))
            below++;
        if (!before(h, h->jobs[below], job))
            break;
        set(h, place, h->jobs[below]);
        place = below;
    }
    set(h, place, job);
}

static void heap_push(struct heap *h, i64 job)
{
    rise(h, h->count++, job);
}

static i64 heap_pop(struct heap *h)
{
    i64 job = h->jobs[0];
    if (--h->count > 0)
        sink(h, 0, h->jobs[h->count]);
    return job;
}

static i64 heap_next(const struct heap *h)
{
    return h->count ? h->second[h->jobs[0]] : NEVER;
}
