"""Names of the columns of the kernel's arrays. Few wide arrays: a worker's or a request's figures lie side by side.

Symbols: D = decode steps that a rank has made in all. A decode sequence without speculation stores D + OFF tokens,
so that nothing has to be written per sequence while a rank decodes.
"""

# models (one row per model and clock level)
(
    MAX_SEQS, BUDGET, BLOCKS, BLOCK, RESERVE, ALONE, CHUNKED, INTERVAL, RANKS, SPECULATES, LIMIT1, LIMIT2,
    PREFIX, UNIT, LATENCY, PER_TOKEN, MIXED_WIDE, SHARED_WIDE, TIERS, LEVELS, PLANS_AHEAD, MODEL_COLUMNS,
) = range(22)  # fmt: skip

# lines of a model: offsets of tables in the flat array, then coefficients; the last line holds joules
DECODE, MIXED, SEQS, SHARED_D, SHARED_M, PAIR, CONTEXT, LINE_COLUMNS = 0, 1, 2, 3, 4, 5, 8, 11

# prices of a line in a division: a prefill token's pair and a decode sequence's key by class (over the ranks in lock-step,
# the mean), what a step of one token costs
P_PAIR, P_CONTEXT, P_FIXED, P_SHARED, PRICE_COLUMNS = 0, 3, 6, 7, 8

# workers
(
    CLOCK, CARRY, JOULE_CARRY, MODE, STEPS_AHEAD, BASE, SLOPE, JOULE_BASE, JOULE_SLOPE, STEP, OUTSTANDING,
    OUT_TOKENS, STEPS_DONE, DECODE_STEPS, BUSY, PREFILL_TOKENS, DECODE_TOKENS, BATCH_STEPS, JOULES, VARIANT,
    SERVICE_OF, POOL_OF, PLACE, LEVEL, FIRST_RANK, RANK_COUNT, WOKEN, TICK_JOULES, TAKEN, EVICTS, WANTED, LINE,
    RELOADED, SEEN, LIFE, OFF_SINCE, OFF_TICKS, TRANSFERS, WORKER_COLUMNS,
) = range(39)  # fmt: skip
IDLE, MIXED_STEP, LEAP = 0, 1, 2  # MODE
LIFE_READY, LIFE_LOADING, LIFE_DRAINING, LIFE_OFF = range(4)  # LIFE

# ranks
(
    N, D, OFF_SUM, FREE, RUNNING, RUN_HEAD, RUN_TAIL, FILL_HEAD, FILL_TAIL, WAITING_N, BELOW1, BELOW_SUM1, BELOW2,
    BELOW_SUM2, AHEAD, HEAP_N, HEAP_N1, HEAP_N2, TURN, CHUNK_TOKENS, SAMPLES, PAIR0, PAIR1, PAIR2, RELOAD, RANK_WORKER,
    LRU_N, RANK_COLUMNS,
) = range(28)  # fmt: skip

# requests in the system
(
    ID, ARRIVAL, INPUT, OUTPUT, SERVICE, SESSION, PRIORITY, TIMEOUT, GOAL, STORED, PRODUCED, BEFORE, STEPS, DUE, OFF,
    RANK, FIRST, NEXT, PREVIOUS, OLDER, YOUNGER, ORDER, PREEMPTED, CACHED, PAGE, HASHES, PINNED, EXTRA, PHASE,
    RESERVED, REQUEST_COLUMNS,
) = range(31)  # fmt: skip
FREE_SLOT, PENDING, QUEUED, FILLING, DECODING, MOVING, HELD = range(7)  # PHASE

# services: settings, counters
(
    POOL_A, POOL_B, MAX_WAITING, SLO_TTFT, SLO_TPOT, SLO_E2E, WAITING_S, ARRIVED, FINISHED_S, FULL, LONG, TIMED,
    WITHIN, INPUT_S, CACHED_S, OUTPUT_S, PREEMPTED_S, SMALLEST, SMALLEST_BLOCK, HELD_S,
    RECOMPUTES_S, RECOMPUTED_S, LOST_S, HIT_S, ASKED_S, JOULES_S, SERVICE_COLUMNS,  # only to be audited
) = range(27)  # fmt: skip

# pools: members that take requests come first, POOL_COUNT of them; requests that wait for a first one
(
    POOL_START, POOL_COUNT, POOL_TURN, TREE_START, TREE_END, POLICY, KV_WEIGHT, HELD_HEAD, HELD_TAIL, POOL_COLUMNS,
) = range(10)  # fmt: skip

# incoming requests
(
    C_ARRIVAL, C_INPUT, C_OUTPUT, C_SERVICE, C_SESSION, C_PRIORITY, C_TIMEOUT, C_THINK, CHUNK_COLUMNS,
) = range(9)  # fmt: skip

# request log, in the order in which requests leave: two cache lines each; L_SHARE + SHARE_COLUMNS (below)
(
    L_ARRIVAL, L_FIRST, L_FINISH, L_STATUS, L_PRODUCED, L_CACHED, L_PREEMPTED, L_WORKER, L_ID, L_SHARE, LOG_COLUMNS,
) = (*range(10), 16)  # fmt: skip

# step log
(
    S_WORKER, S_START, S_END, S_STEPS, S_MIXED, S_SEQUENCES, S_TOKENS, S_SAMPLED, S_LINE, S_PAIRS, S_KEYS, STEP_COLUMNS,
) = (*range(10), 12, 15)  # fmt: skip  # pairs and keys by context class

# a worker's meter (docs/decisions/0011), once for time and once, M_WIDE further, for energy: running sums per sequence and
# per key by class (plain, and times the key of a context of 0), all modulo 2**64; the last step's prices; what is left over
(
    M_EACH, M_KEY, M_AT, M_SEQUENCE, M_TOKEN, M_REST, M_SETTLED, M_LOST, M_LOST_FINE, M_SINCE, M_WIDE,
) = (0, 1, 4, *range(7, 15))  # fmt: skip
M_STEPS, METER_COLUMNS = 2 * M_WIDE, 2 * M_WIDE + 1
# a request's shares: fine (less the meter's running sums while it decodes) and whole, for time, then for energy
O_FINE, O_WHOLE, O_WIDE, O_OFF, O_SHARE, OWN_COLUMNS = 0, 1, 2, 4, 5, 11
# … and from O_SHARE on, what was written where it left: at the prefill pool, then at any other worker; workers + 1
A_WORKER, A_TICKS, A_UJ, A_WIDE, SHARE_COLUMNS = 0, 1, 2, 3, 6

# timeline
T_ARRIVED, T_FINISHED, T_TOKENS, T_WAITING, T_RUNNING, T_BLOCKS, T_JOULES, T_BUSY = range(8)  # T_BUSY + variant

# scalars of a run
(
    NOW, LAST, BUCKET_NEXT, SLOT_HEAD, SLOTS_USED, CURSOR, BASE_ID, MORE, RELEASED, PENDING_N, MOVING_N, WOKEN_N,
    CLIENTS, HORIZON, BUCKET, BUCKETS, WARMUP, MAX_LEAP, RECORD, SEED, TICK_NEXT, TICK_STEP, NODE_HEAD, NODES_FREE,
    PAGE_HEAD, PAGES_FREE, HASHES_IN, CLOSED, BUILT, TRACE_FROM, TRACE_TO, TRACED, UNTRACED, ALLOCATES, LINKED, ENDED_N,
    LEFT_N, LEFT_MOST, CAP_NEXT, SCALE_NEXT, HELD_N, SCALARS,
) = range(42)  # fmt: skip

# why the kernel came back
DONE, NEED_CHUNK, NEED_SLOTS, NEED_NODES, NEED_PAGES, NEED_LOG, NEED_SCALING = range(7)

# prefix cache nodes, a cache line each. A free node x is followed by x + 1 + N_CHAIN: zeros, untouched, are a free list
N_HASH, N_RANK, N_COUNT, N_TIER, N_OLDER, N_YOUNGER, N_CHAIN, N_USED, NODE_COLUMNS = range(9)
# tiers of a rank
TIER_HEAD, TIER_TAIL, TIER_N, TIER_LIMIT, TIER_TICKS, TIER_COLUMNS = range(6)

PRIORITIES = 10
NEVER = (1 << 63) - 1
FINE_BITS = 20
FINE_MASK = (1 << FINE_BITS) - 1
PAGE_UNITS = 32
