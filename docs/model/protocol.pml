/*
 * The write protocol: two processes of a fleet, one key, one Redis, one L3.
 *
 * A value is its version; 0 is "nothing there". Process p proposes versions of its own parity,
 * so that no two writes are the same; intents, and values beside versions, are therefore left
 * out. A set and a delete are the same here: a tombstone is a value.
 *
 *   Process(p)  its calls (set, behind or through; read; erase), one at a time, and beside them
 *               its background (handshake, flush, adopt, repair), one task at a time.
 *   Frozen      executes late what a frozen Redis, or a gateway before it, held back.
 *   Faults      crashes a process, empties Redis or sets it back to a dump, evicts.
 *   Auditor     when nobody can do anything any more: what was promised has to hold.
 *
 * Each option of a process is one step: at most one script in Redis or one function in L3, and
 * what the process makes of the answer before it asks again. Between any two steps everybody else
 * may act, and the process may die. README.md says what is left out, and which switch (-DNO_...)
 * leaves out which rule.
 */

/* How much may happen; each scenario of check.sh sets its own. */
#ifndef WRITES
#define WRITES 2        /* set calls, whoever makes them */
#endif
#ifndef THROUGH
#define THROUGH 0       /* 1: any of them may go through to L3; 2: all do */
#endif
#ifndef READS
#define READS 0         /* by process 0 */
#endif
#ifndef ERASURES
#define ERASURES 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef LOSSES
#define LOSSES 0        /* Redis emptied (FLUSHALL), or restarted with an older dump */
#endif
#ifndef DUMPS
#define DUMPS 1         /* 0: only emptied */
#endif
#ifndef SILENCES
#define SILENCES 0      /* commands that Redis does not answer: done, never done, or done late */
#endif
#ifndef OUTAGES
#define OUTAGES 0       /* calls that L3 does not answer: done or not */
#endif
#ifndef EVICTIONS
#define EVICTIONS 0
#endif
#ifndef JOURNAL
#define JOURNAL 0       /* 0: none, 1: fallback, 2: always */
#endif

#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define BIT(v) (1 << (v))

/* Commands, and what they are answered. Zero is: no command, no answer. */
#define PUT 1
#define PUT_SETTLED 2
#define SETTLE 3
#define DROP 4
#define REPAIR 5
#define PURGE 6
#define BACKFILL 7

#define SILENCE 0
#define DONE 1
#define TOO_LOW 2
#define OTHER_EPOCH 3
#define PENDING 4
#define APPLIED 5
#define SUPERSEDED 6
#define ERASED 7

/* What becomes of a question. */
#define ANSWERED 1
#define UNHEARD 2       /* done, but nobody was told */
#define NEVER 3

/* Redis: the meta of the shard and the entry of the key. */
byte metaEpoch = 1;     /* 0: there is no meta */
bit metaIsOurs = 1;     /* it was written under the run id of the server as it runs now */
byte cut = 1;
byte entry;             /* 0: none */
bit pending;
byte entryEpoch;
byte epochs = 1;        /* how many there have been */

/* A dump, or a replica that lags: what Redis is set back to. */
#if LOSSES > 0
byte dumpEntry; bit dumpPending; byte dumpEntryEpoch; byte dumpEpoch = 1; byte dumpCut = 1;
bit isDumped;
#endif

/* The command that is held back. */
byte heldOp; byte heldVersion; byte heldEpoch; byte heldCut;

/* L3: the row, the fence of the key's scope, and its bypass marks, a bit per version. */
byte row;
byte fence;
int marks;

/* Each process. What a crash leaves of it is its journal. */
bit alive[2] = 1;
bit connected[2] = 1;
byte epochOf[2] = 1;    /* the epoch it quotes */
byte seen[2] = 1;       /* the highest version it knows of */
byte outbox[2];         /* 0: empty */
bit synced[2];          /* L3 has what is in the outbox; L2 has not confirmed */
int journal[2];         /* a bit per version */
bit around[2];          /* L2 has never heard of what is in the outbox: the journal alone has it */
byte own[2];            /* the newest write that it acknowledged in this life: G2 */

/* What a process is about to do: its call, its background task. Nothing is 0. */
#define SHARED 1        /* ask Redis */
#define DURABLE 2       /* ask L3 */
#define MARKING 3       /* ask L3 once more, for the sake of the mark */

/* What the auditor remembers. */
byte acknowledged;      /* the newest write that anybody acknowledged */
byte erasedTo;          /* everything at or below is erased, and that was said */
byte proposed;          /* the highest version that anybody proposed */
byte lostUpTo;          /* when Redis lost its data, this was the newest acknowledged */

byte writesLeft = WRITES; byte readsLeft = READS; byte erasuresLeft = ERASURES;
byte silencesLeft = SILENCES; byte outagesLeft = OUTAGES;

#define isLive (entry > 0 && (pending || IS_CURRENT))
#ifdef NO_EPOCH
#define IS_CURRENT true
#else
#define IS_CURRENT (entryEpoch == metaEpoch)
#endif

#ifdef NO_JOURNAL_MARK
#define IS_AROUND 0
#else
#define IS_AROUND around[p]
#endif

#ifdef NO_CUT
#define CUT 0
#else
#define CUT cut
#endif

inline remove() { entry = 0; pending = 0; entryEpoch = 0 }

/* Every release raises the cut. */
inline release(upTo) {
#ifdef NO_CUT_RISE
  cut = MAX(cut, upTo)
#else
  cut = MAX(cut + 1, upTo)
#endif
}

/* One script. `quoted` is the cut that came with a read. */
inline execute(op, version, epoch, quoted, reply) {
  if
#ifndef NO_EPOCH_QUOTED
  :: metaEpoch != epoch -> reply = OTHER_EPOCH
#endif
  :: else ->
    reply = DONE;
    if
    :: op == PUT ->
      if
      :: isLive && entry == version -> skip
#ifdef NO_TOO_LOW
      :: !(isLive && entry == version) -> entry = version; pending = 1; entryEpoch = metaEpoch
#else
      :: !(isLive && entry == version) &&
         (version <= CUT || (isLive && version <= entry)) -> reply = TOO_LOW
      :: else -> entry = version; pending = 1; entryEpoch = metaEpoch
#endif
      fi
    :: op == PUT_SETTLED ->
      if
      :: isLive && entry >= version -> skip
#ifdef NO_PAST
      :: !(isLive && entry >= version) ->
#else
      :: !(isLive && entry >= version) && version > CUT ->
#endif
        entry = version; pending = 0; entryEpoch = metaEpoch
      :: else -> remove()
      fi;
      release(version)
    :: op == SETTLE ->
      release(version);
      if
#ifdef NO_SETTLE_COMPARE
      :: entry > 0 -> pending = 0
#else
      :: entry > 0 && entry == version -> pending = 0
      :: entry > 0 && entry < version -> remove()
#endif
      :: else
      fi
    :: op == DROP ->
      release(version);
      if
      :: entry > 0 && entry < version -> remove()
      :: else
      fi
    :: op == REPAIR ->
      release(version);
      if
      :: entry > 0 && entry < version && pending -> reply = PENDING
      :: entry > 0 && entry < version && !pending -> remove()
      :: else
      fi
    :: op == PURGE ->
      release(version);
      if
      :: entry > 0 && entry <= version -> remove()
      :: else
      fi
    :: op == BACKFILL ->
      if
#ifndef NO_TICKET
      :: quoted != cut -> skip
#endif
      :: isLive && (pending || entry >= version) -> skip
      :: else -> entry = version; pending = 0; entryEpoch = metaEpoch
      fi
    fi
  fi
}

/*
 * What becomes of a command: answered; or not answered, and done, or never done, or done late.
 * A process without a connection is told so at once.
 */
inline ask(op, version, quoted) {
  if
  :: connected[p] -> fate = ANSWERED
  :: d_step { connected[p] && silencesLeft > 0 -> silencesLeft--; fate = UNHEARD }
  :: d_step { connected[p] && silencesLeft > 0 -> silencesLeft--; fate = NEVER }
  :: d_step {
       connected[p] && silencesLeft > 0 && heldOp == 0 -> silencesLeft--; fate = NEVER;
       heldOp = op; heldVersion = version; heldEpoch = epochOf[p]; heldCut = quoted
     }
  :: !connected[p] -> fate = NEVER
  fi;
  d_step {
    if
    :: fate == NEVER -> reply = SILENCE
    :: else -> execute(op, version, epochOf[p], quoted, reply)
    fi;
    if
    :: fate == UNHEARD -> reply = SILENCE
    :: else
    fi;
    fate = 0
  }
}

/* L3 takes a write, or says why not. `newer` is what it has instead. */
inline apply(version, mark) {
  if
#ifndef NO_FENCE
  :: row <= version && fence >= version -> reply = ERASED
#endif
#ifdef NO_ROW_COMPARE
  :: else -> row = version; reply = APPLIED
#else
  :: row > version -> newer = row; reply = SUPERSEDED
  :: else -> row = version; reply = APPLIED
#endif
  fi;
#ifndef NO_MARK
  if
  :: mark && reply != ERASED -> marks = marks | BIT(row)
  :: else
  fi
#endif
}

inline askL3(version, mark) {
  if
  :: fate = ANSWERED
  :: d_step { outagesLeft > 0 -> outagesLeft--; fate = UNHEARD }
  :: d_step { outagesLeft > 0 -> outagesLeft--; fate = NEVER }
  fi;
  d_step {
    if
    :: fate == NEVER -> reply = SILENCE
    :: else -> apply(version, mark)
    fi;
    if
    :: fate == UNHEARD -> reply = SILENCE; newer = 0
    :: else
    fi;
    fate = 0
  }
}

/* The floor of reads: an older write never takes the place of a newer one. */
inline hold(version, isSynced) {
  if
#ifdef NO_OUTBOX
  :: true
#endif
  :: outbox[p] < version -> outbox[p] = version; synced[p] = isSynced; around[p] = 0
  :: outbox[p] == version && isSynced -> synced[p] = 1
  :: else
  fi
}

/* L2 confirmed: what is synced and not newer leaves the outbox. */
inline confirmed(version) {
  if
  :: synced[p] && outbox[p] <= version -> outbox[p] = 0; synced[p] = 0; around[p] = 0
  :: else
  fi
}

inline discard(upTo) {
  if
  :: outbox[p] > 0 && outbox[p] <= upTo -> outbox[p] = 0; synced[p] = 0; around[p] = 0
  :: else
  fi;
  journal[p] = journal[p] & ~(BIT(upTo + 1) - 1)
}

inline acknowledge(version) {
  own[p] = MAX(own[p], version);
  acknowledged = MAX(acknowledged, version)
}

/* A version of its own parity, above everything that the process knows of. */
inline propose(above) {
  seen[p] = MAX(seen[p], above) + 1;
  if
  :: seen[p] % 2 != p -> seen[p]++
  :: else
  fi;
  version = seen[p];
  proposed = MAX(proposed, version);
  if
  :: JOURNAL == 2 && op == PUT -> journal[p] = journal[p] | BIT(version)
  :: else
  fi
}

/* A new incarnation of the server: above all that L3 has and any clock may have proposed. */
inline handshake() {
  if
  :: metaEpoch == 0 || !metaIsOurs ->
    epochs++;
#ifdef NO_HIGHEST_CUT
    cut = (metaEpoch > 0 -> cut + 1 : 0);
#else
    cut = MAX((metaEpoch > 0 -> cut + 1 : 0), MAX(row, proposed));
#endif
    metaEpoch = epochs; metaIsOurs = 1
  :: else
  fi;
  epochOf[p] = metaEpoch; connected[p] = 1
}

/* ------------------------------------------------------------------ calls */

/* L2 holds it: acknowledged. It says "too low": higher. It says nothing: to L3. */
inline afterPut() {
  if
  :: reply == DONE ->
    hold(version, 0);
    acknowledge(version);
    journal[p] = journal[p] & ~(BIT(version) - 1);
    call = 0
  :: reply == TOO_LOW -> above = MAX(cut, entry); propose(above)
  :: reply == OTHER_EPOCH -> handshake()
  :: else -> call = DURABLE
  fi
}

inline afterApply() {
  if
  :: reply == APPLIED ->
    hold(version, 1);
    journal[p] = journal[p] & ~(BIT(version + 1) - 1);
    op = PUT_SETTLED; call = SHARED
  :: reply == SUPERSEDED || reply == ERASED ->
    above = MAX(row, fence); propose(above);
    call = (op == PUT -> SHARED : DURABLE)
  :: else ->
    if
    :: JOURNAL > 0 && op == PUT ->
      journal[p] = (journal[p] & ~(BIT(version) - 1)) | BIT(version);
      hold(version, 0);
      around[p] = (outbox[p] == version);
      acknowledge(version)
    :: else -> journal[p] = journal[p] & (BIT(MAX(own[p], outbox[p]) + 1) - 1)  /* rejected */
    fi;
    call = 0
  fi
}

/* L2 was told, or the mark in L3 will see to it. */
inline afterPutSettled() {
  if
  :: reply == DONE -> confirmed(version)
  :: else
  fi;
  acknowledge(version);
  call = 0
}

/* The fence is above all that is known; the row goes and leaves a mark above its versions. */
inline erase() {
  above = MAX(row, fence);
  if
  :: connected[p] && metaEpoch == epochOf[p] && entry > 0 && pending -> above = MAX(above, entry)
  :: else
  fi;
  propose(above);
  erasedTo = version;
#ifndef NO_FENCE
  fence = version;
#endif
#ifndef NO_MARK
  if
  :: row > 0 -> marks = marks | BIT(version)
  :: else
  fi;
#endif
  row = 0;
  discard(version)
}

/* What L2 says. Only a whole entry of this incarnation is an answer alone. */
inline look() {
  expected = own[p]; before = outbox[p];
  if
  :: connected[p] && metaEpoch == epochOf[p] ->
    quoted = cut; quotedEpoch = epochOf[p]; isAsked = 1;
    version = (isLive -> entry : 0);
#ifdef STALE_PENDING_ALONE
    isWhole = isLive
#else
    isWhole = (entry > 0 && IS_CURRENT)
#endif
  :: else
  fi
}

/* Never below what this process acknowledged before the read began (G2). */
inline answer() {
#ifndef NO_FLOOR
  version = MAX(version, MAX(before, outbox[p]));
#endif
  assert(version >= expected || erasedTo >= expected);
  seen[p] = MAX(seen[p], version)
}

/* What is over leaves nothing behind that would tell two states apart. */
inline forgetCall() {
  above = 0; newer = 0; reply = 0;
  if
  :: call == 0 -> op = 0; version = 0; quoted = 0; quotedEpoch = 0
  :: else
  fi
}

/* ------------------------------------------------------------------ background */

/* What L3 said of a write that was flushed, and what L2 has to be told for it. */
inline afterFlush() {
  journal[p] = (reply == SILENCE -> journal[p] : journal[p] & ~BIT(version));
  seen[p] = MAX(seen[p], newer);
  if
  :: (reply == APPLIED || reply == SUPERSEDED) && outbox[p] == version -> synced[p] = 1
  :: else
  fi;
  if
  :: reply == SILENCE || task == MARKING || !connected[p] -> task = 0
  :: else ->
    op = (reply == APPLIED -> SETTLE : (reply == SUPERSEDED -> DROP : PURGE));
    task = SHARED
  fi
}

/* L2 did it: the outbox lets go. It did not confirm: the same write again, with a mark. */
inline afterTelling() {
  task = 0;
  if
  :: reply == DONE && op == SETTLE -> confirmed(version)
  :: reply == DONE && (op == DROP || op == PURGE) -> discard(version)
  :: reply == DONE && op == REPAIR ->
    confirmed(version);
    marks = marks & ~taken
  :: reply == PENDING -> version = entry; newer = 0; mark = 0; taken = 0; task = DURABLE
  :: reply != DONE && reply != PENDING ->
    if
    :: op != REPAIR && !mark && outbox[p] > 0 && synced[p] ->
      version = outbox[p]; mark = 1; task = MARKING
    :: else
    fi
  fi
}

inline forgetTask() {
  reply = 0; target = 0;
  if
  :: task == 0 -> op = 0; version = 0; newer = 0; mark = 0; taken = 0
  :: else
  fi
}

#define isAbleToTell (connected[p] && metaEpoch == epochOf[p])

proctype Process(bit p) {
  /* its call */
  byte call, op, version, above, newer, quoted, quotedEpoch, before, expected;
  bit isWhole, isAsked;
  byte reply, fate;
end:
  do
  :: atomic { alive[p] && call == 0 && writesLeft > 0 ->
       writesLeft--;
       if
       :: THROUGH < 2 -> op = PUT; call = SHARED
       :: THROUGH > 0 -> op = PUT_SETTLED; call = DURABLE
       fi;
       d_step { propose(0) } }
  :: atomic { alive[p] && call == 0 && readsLeft > 0 && p == 0 ->
       readsLeft--;
       if
       :: d_step { look() }
       :: d_step { silencesLeft > 0 -> silencesLeft--; expected = own[p]; before = outbox[p] }
       fi;
       op = BACKFILL; call = DURABLE }
  :: d_step { alive[p] && call == 0 && erasuresLeft > 0 ->
       erasuresLeft--; erase(); op = PURGE; call = SHARED }
  :: atomic { alive[p] && call == DURABLE && op != BACKFILL ->
       askL3(version, 1);
       d_step { afterApply(); forgetCall() } }
  :: d_step { alive[p] && call == DURABLE && op == BACKFILL ->
       if
       :: isWhole -> newer = 0
       :: else -> newer = row
       fi;
       version = MAX(version, newer);
       answer();
       version = newer;
       call = (isAsked && newer > 0 -> SHARED : 0);
       isWhole = 0; isAsked = 0; before = 0; expected = 0;
       forgetCall() }
  :: atomic { alive[p] && call == SHARED ->
#ifndef NO_EPOCH_WITH_CUT
       if  /* a cut says nothing in another epoch, even where it is the same number */
       :: op == BACKFILL && quotedEpoch != epochOf[p] -> quoted = 0
       :: else
       fi;
#endif
       ask(op, version, quoted);
       d_step {
         if
         :: op == PUT -> afterPut()
         :: op == PUT_SETTLED -> afterPutSettled()
         :: else -> call = 0
         fi;
         forgetCall()
       } }
  :: d_step { !alive[p] && call > 0 ->
       call = 0; isWhole = 0; isAsked = 0; before = 0; expected = 0; forgetCall() }
  od
}

proctype Background(bit p) {
  byte task, op, version, newer, target;
  bit mark;
  int taken;
  byte reply, fate;
end:
  do
  :: d_step { alive[p] && task == 0 && (!isAbleToTell || !metaIsOurs) -> handshake() }
  :: d_step { alive[p] && task == 0 && outbox[p] > 0 && !synced[p] &&
              (connected[p] || fence < outbox[p]) ->
       version = outbox[p]; mark = !connected[p] || IS_AROUND; task = DURABLE }
  :: d_step { alive[p] && task == 0 && isAbleToTell && entry > 0 && pending && entry != outbox[p] ->
       version = entry; mark = 0; task = DURABLE }
  :: d_step { alive[p] && task == 0 && isAbleToTell && outbox[p] > 0 && synced[p] ->
       version = outbox[p]; op = REPAIR; task = SHARED }
  :: d_step { alive[p] && task == 0 && isAbleToTell && marks != 0 ->
       taken = marks; version = 31;
       do
       :: (taken & BIT(version)) -> break
       :: else -> version--
       od;
       op = REPAIR; task = SHARED }
  :: atomic { alive[p] && (task == DURABLE || task == MARKING) ->
       askL3(version, mark);
       d_step { afterFlush(); forgetTask() } }
  :: atomic { alive[p] && task == SHARED ->
       target = (op == DROP -> newer : version);
       ask(op, target, 0);
       d_step { afterTelling(); forgetTask() } }
  :: d_step { !alive[p] && task > 0 -> task = 0; forgetTask() }
  od
}
/* ------------------------------------------------------------------ the world */

proctype Frozen() {
  byte reply;
end:
  do
  :: d_step {
       heldOp > 0 ->
       execute(heldOp, heldVersion, heldEpoch, heldCut, reply);
       heldOp = 0; heldVersion = 0; heldEpoch = 0; heldCut = 0; reply = 0
     }
  od
}

/*
 * One fault at a time is promised to do no harm. Before the newest acknowledged write is in L3,
 * two may: its process dead and Redis without its data. Only the journal, where every write is
 * in it first, holds that too.
 */
#define isInL3 (row >= acknowledged || erasedTo >= acknowledged)
#define isHeldByL2 (acknowledged > lostUpTo)
#define writer (acknowledged % 2)
#define isJournalled (JOURNAL == 2 || (journal[writer] & BIT(acknowledged)) != 0)

inline restart(i) {
  d_step {
    !alive[i] && journal[i] != 0 ->
    version = 31;
    do
    :: (journal[i] & BIT(version)) -> break
    :: else -> version--
    od;
    outbox[i] = version; journal[i] = BIT(version); connected[i] = 0; alive[i] = 1; around[i] = 1;
    version = 0
  }
}

inline crash(i) {
  d_step {
    crashesLeft > 0 && alive[i] && (isInL3 || writer != i || isHeldByL2 || isJournalled) ->
    crashesLeft--;
    alive[i] = 0; outbox[i] = 0; synced[i] = 0; own[i] = 0; seen[i] = 1; around[i] = 0
  }
}

proctype Faults() {
  byte version;
  byte crashesLeft = CRASHES, lossesLeft = LOSSES, evictionsLeft = EVICTIONS;
  bit isOver;
end:
  do
  :: crash(0)
  :: crash(1)
  :: restart(0)
  :: restart(1)
#if LOSSES > 0 && DUMPS
  :: d_step {
       lossesLeft > 0 && !isDumped -> isDumped = 1;
       dumpEntry = entry; dumpPending = pending; dumpEntryEpoch = entryEpoch;
       dumpEpoch = metaEpoch; dumpCut = cut
     }
  :: d_step {  /* restarted with the dump: connections are lost, and commands with them */
       lossesLeft > 0 && (isInL3 || isJournalled || own[writer] >= acknowledged) ->
       lossesLeft--; lostUpTo = acknowledged;
       entry = dumpEntry; pending = dumpPending; entryEpoch = dumpEntryEpoch;
       metaEpoch = dumpEpoch; cut = dumpCut;
       heldOp = 0; heldVersion = 0; heldEpoch = 0; heldCut = 0;
#ifndef NO_EPOCH
       metaIsOurs = 0; connected[0] = 0; connected[1] = 0
#endif
     }
#endif
#if LOSSES > 0
  :: d_step {  /* emptied: connections, and what is held back, live on */
       lossesLeft > 0 && (isInL3 || isJournalled || own[writer] >= acknowledged) ->
       lossesLeft--; lostUpTo = acknowledged;
       remove(); cut = 0;
#ifndef NO_EPOCH
       metaEpoch = 0
#endif
     }
#endif
  :: d_step {
#ifdef PENDING_EXPIRES
       evictionsLeft > 0 && entry > 0 -> evictionsLeft--;
#else
       evictionsLeft > 0 && entry > 0 && !pending -> evictionsLeft--;
#endif
       remove()
     }
  :: d_step { !isOver -> isOver = 1; crashesLeft = 0; lossesLeft = 0; evictionsLeft = 0 }
  od
}

proctype Auditor() {
  timeout;
  d_step {
    assert(alive[0] || alive[1]);
    assert(isInL3);                                    /* G1: nothing acknowledged is lost */
    assert(!isLive || (!pending && entry == row));     /* G4: L2 has what L3 has, or nothing */
    assert(outbox[0] == 0 && outbox[1] == 0);
    assert(journal[0] == 0 && journal[1] == 0);
    assert(marks == 0);
    assert(row == 0 || row > erasedTo)                 /* G8: nothing erased came back */
  }
}

init {
  atomic {
    run Process(0); run Process(1); run Background(0); run Background(1);
    run Frozen(); run Faults(); run Auditor()
  }
}
