// What travels through the client, as types; there is no code in this module.

/** @import { BridgeError } from "./errors.js" */

/**
 * A place in a channel's messages: the `cursor` or `id` of something the bridge sent, or a cluster
 * time as 16 or 22 hexadecimal digits. Opaque; docs/protocol.md, "Positions and cursors".
 * @typedef {string} Cursor
 */

/** A document's key: its `_id` as JSON. @typedef {string | number | boolean | null | object} Key */

/** @typedef {readonly string[]} Path */

/**
 * docs/protocol.md, "Messages".
 * @typedef {{
 *   readonly set?: readonly (readonly [Path, unknown])[],
 *   readonly unset?: readonly Path[],
 *   readonly truncate?: readonly (readonly [Path, number])[],
 * }} Delta
 */

/**
 * One operation of a JSON Patch (RFC 6902).
 * @typedef {{ readonly op: string, readonly path: string, readonly from?: string, readonly value?: any }} Operation
 */

/**
 * One message of a channel as it came; docs/protocol.md, "Messages" and "Outbox". Fields that this
 * version does not know are passed on.
 * @typedef {{
 *   readonly type: "change" | "event",
 *   readonly id: string,
 *   readonly channel: string,
 *   readonly op?: "insert" | "update" | "replace" | "delete" | "enter" | "leave",
 *   readonly key?: any,
 *   readonly mode?: "full" | "delta" | "patch" | "ref",
 *   readonly document?: any,
 *   readonly delta?: Delta,
 *   readonly patch?: readonly Operation[],
 *   readonly reason?: string,
 *   readonly ns?: { readonly db: string, readonly coll: string },
 *   readonly name?: string,
 *   readonly headers?: Readonly<Record<string, any>>,
 *   readonly data?: any,
 *   readonly mutationId?: string,
 *   readonly rejected?: boolean,
 *   readonly txn?: { readonly id: string, readonly index: number },
 *   readonly time?: string,
 * }} Message
 */

/** A message as a merge function gets it. @typedef {Message & { readonly confirmed: true }} ConfirmedEvent */

/**
 * What a write is expected to do, until the database has said what it did. For `document()` and
 * `collection()`: `key` with one of `document`, `update`, `delta`, `patch` or `op: "delete"`. A
 * merge function of your own may read whatever it likes, for instance `name` and `data`.
 * @typedef {{
 *   readonly mutationId?: string,
 *   readonly op?: "insert" | "update" | "replace" | "delete",
 *   readonly key?: any,
 *   readonly ns?: { readonly db: string, readonly coll: string },
 *   readonly document?: any,
 *   readonly update?: (document: any) => any,
 *   readonly delta?: Delta,
 *   readonly patch?: readonly Operation[],
 *   readonly name?: string,
 *   readonly data?: any,
 * }} Change
 */

/** A change as a merge function gets it. @typedef {Change & { readonly confirmed: false, readonly mutationId: string }} OptimisticEvent */

/**
 * Pure and synchronous: the state after an event. The state it is given stays as it is; returning
 * it says that nothing has changed.
 * @template T
 * @typedef {(state: T, event: ConfirmedEvent | OptimisticEvent) => T} Merge
 */

/**
 * A merge that also knows what a snapshot's documents mean, as `document()` and `collection()` make.
 * @template T
 * @typedef {Merge<T> & {
 *   readonly state: (documents: readonly Entry[]) => T,
 *   readonly fold: (state: T, events: readonly (ConfirmedEvent | OptimisticEvent)[]) => T,
 * }} AutomaticMerge
 */

/**
 * One document of a snapshot; without `document` where the bridge could not send it, and why.
 * @typedef {{
 *   readonly key: any,
 *   readonly document?: any,
 *   readonly reason?: string,
 *   readonly ns?: { readonly db: string, readonly coll: string },
 * }} Entry
 */

/** The answer of the bridge's snapshot endpoint. @typedef {{ readonly channel: string, readonly cursor: Cursor, readonly documents: readonly Entry[] }} Snapshot */

/**
 * The state, and where it stands. `sequenceId` is another word for `cursor`; 0 stands before the
 * first message, null says that the place is not known: the model follows from now on and stays
 * stale. `mutationIds` are writes that the state contains.
 * @template T
 * @typedef {{
 *   readonly data: T,
 *   readonly cursor?: Cursor | Timestamp | null,
 *   readonly sequenceId?: Cursor | Timestamp | 0 | null,
 *   readonly mutationIds?: readonly string[],
 * }} SyncResult
 */

/** A cluster time as JSON has it. @typedef {{ readonly t: number, readonly i: number }} Timestamp */

/**
 * Why the state is fetched: `initial`, `manual` (`model.sync()`), `timeout` (a write was
 * acknowledged but never seen), `gap`, `patch` or `merge` (a message did not fit), or the reason of
 * the bridge's `resync`.
 * @typedef {"initial" | "manual" | "timeout" | "gap" | "patch" | "merge" | "history_lost" | "unknown_cursor" | "dropped" | "slow_consumer" | "too_large" | "unrouted" | "access_changed" | (string & {})} SyncReason
 */

/**
 * `signal` is aborted when the result is no longer wanted; `pending` are the ids of the writes
 * that wait for confirmation; `snapshot()` asks the bridge.
 * @typedef {{
 *   readonly signal: AbortSignal,
 *   readonly reason: SyncReason,
 *   readonly attempt: number,
 *   readonly pending: readonly string[],
 *   readonly snapshot: () => Promise<Snapshot>,
 * }} SyncContext
 */

/**
 * Milliseconds to wait after so many failures in a row (from 1), or null to give up.
 * @typedef {(attempt: number, error: BridgeError) => number | null} Retry
 */

/**
 * @typedef {{
 *   url: string | URL,
 *   token?: string | (() => string | null | undefined | Promise<string | null | undefined>),
 *   transport?: "fetch" | "eventsource" | "websocket" | Transport,
 *   credentials?: RequestCredentials,
 *   fetch?: typeof fetch,
 *   retry?: Retry,
 *   background?: number,
 *   freeze?: boolean,
 * }} ConnectOptions
 */

/**
 * `idle`: nothing is followed. `connecting`, `open`. `waiting`: until `retryAt` (milliseconds since
 * 1970), or for the network. `paused`: by `pause()`, or in the background. `errored`: the bridge
 * refuses; `resume()` tries again. `closed`: for good.
 * @typedef {"idle" | "connecting" | "open" | "waiting" | "paused" | "errored" | "closed"} ConnectionState
 */

/**
 * @typedef {{
 *   readonly state: ConnectionState,
 *   readonly attempt: number,
 *   readonly retryAt?: number,
 *   readonly error?: BridgeError,
 * }} Status
 */

/**
 * @typedef {{
 *   messages?: (messages: readonly Message[], info: { replay: boolean }) => void,
 *   live?: () => void,
 *   stale?: () => void,
 *   resync?: (reason: SyncReason) => void,
 *   error?: (error: BridgeError) => void,
 *   moved?: () => void,
 * }} Listener
 */

/**
 * How frames of the protocol come and go. `open` starts a stream; what it returns ends it, and
 * changes its channels where it can.
 * @typedef {(request: StreamRequest, sink: StreamSink) => Stream} Transport
 */

/**
 * `since` is the cursor for the whole stream, `channels` has one for each.
 * @typedef {{
 *   readonly url: string,
 *   readonly channels: readonly ChannelRequest[],
 *   readonly since: Cursor | undefined,
 *   readonly token: string | undefined,
 *   readonly credentials: RequestCredentials | undefined,
 *   readonly fetch: typeof fetch,
 * }} StreamRequest
 */

/** @typedef {{ readonly channel: string, readonly since: Cursor | undefined }} ChannelRequest */

/**
 * `frame` takes each frame, with the channels that it is about where that is not all; `retry` the
 * server's least wait in milliseconds; `close` says that the stream has ended, and why.
 * @typedef {{
 *   readonly frame: (frame: any, channels?: readonly string[]) => void,
 *   readonly alive: () => void,
 *   readonly retry: (milliseconds: number) => void,
 *   readonly refused: (channel: string, error: BridgeError) => void,
 *   readonly close: (error?: BridgeError) => void,
 * }} StreamSink
 */

/** @typedef {{ close: () => void, change?: (add: readonly ChannelRequest[], remove: readonly string[]) => void }} Stream */

/** @typedef {"initialized" | "syncing" | "ready" | "paused" | "errored" | "disposed"} ModelState */

/**
 * @template T
 * @typedef {{
 *   channel: string,
 *   merge: Merge<T> | AutomaticMerge<T>,
 *   sync?: (context: SyncContext, ...params: any[]) => Promise<SyncResult<T>> | SyncResult<T>,
 *   initial?: SyncResult<T>,
 *   batch?: "microtask" | "frame" | "sync" | number,
 *   timeout?: number,
 *   retry?: Retry,
 *   idle?: number,
 *   buffer?: BufferFactory,
 *   confirm?: (pending: Pending, event: ConfirmedEvent) => boolean,
 * }} ModelSpec
 */

/** @typedef {(emit: (messages: readonly Message[]) => void, lost: () => void) => MessageBuffer} BufferFactory */

/** @typedef {{ push: (message: Message) => void, flush: () => void, clear: () => void }} MessageBuffer */

/**
 * One immutable picture of a model; the same object until something changes. `data` has the
 * pending changes in it, `confirmed` only what the database has said. `isStale`: the bridge is not
 * heard at this moment, or what it says is not applied yet.
 * @template T
 * @typedef {{
 *   readonly state: ModelState,
 *   readonly data: T | undefined,
 *   readonly confirmed: T | undefined,
 *   readonly isStale: boolean,
 *   readonly pending: readonly Pending[],
 *   readonly error: BridgeError | undefined,
 * }} ModelSnapshot
 */

/** @typedef {"pending" | "acknowledged" | "confirmed" | "rejected" | "timeout" | "cancelled" | "conflict" | "disposed"} MutationStatus */

/** @typedef {{ readonly mutationId: string, readonly event: OptimisticEvent, readonly status: MutationStatus, readonly createdAt: number }} Pending */

/**
 * @template R
 * @typedef {{
 *   timeout?: number,
 *   position?: (result: R) => Cursor | Timestamp | null | undefined,
 *   serial?: string,
 * }} MutateOptions
 */

/**
 * `sent` settles with what `send` gave; `confirmed` once the model's confirmed data contains the
 * write, or rejects with a MutationError. Neither needs a handler.
 * @template R
 * @typedef {{
 *   readonly mutationId: string,
 *   readonly status: MutationStatus,
 *   readonly sent: Promise<R>,
 *   readonly confirmed: Promise<void>,
 *   readonly cancel: () => void,
 * }} Mutation
 */

/** @typedef {{ readonly current: ModelState, readonly previous: ModelState, readonly reason: BridgeError | undefined }} StateChange */

export {};
