/** What a page sees of pushhub. */
/** One published item, as the hub's `/v1/poll` gives it. */
export interface Event<Data = any> {
    readonly channel: string;
    /** 1-based position in the channel; with the log's epoch it names the event for good. */
    readonly offset: number;
    /** The event's own position; a `since` that goes on after it. */
    readonly cursor: string;
    /** The publisher's id, or the cursor. */
    readonly id: string;
    /** The publisher's `Event-Type`; never `gap` or `error`, which the hub keeps for itself. */
    readonly type?: string;
    /** When the store got it, RFC 3339. */
    readonly time: string;
    /** Left out if it is `application/json`. */
    readonly content_type?: string;
    /** `base64` if `data` is neither JSON nor text. */
    readonly encoding?: "base64";
    readonly data: Data;
}
/** Events may have been lost to this reader: reload what is shown. Reading goes on from `oldest`. */
export interface Gap {
    readonly type: "gap";
    readonly channel: string;
    /** The log began anew, events were removed before they were read, or the log was cut short. */
    readonly reason: "epoch" | "trimmed" | "ahead";
    readonly oldest: string;
    readonly latest: string;
    readonly data?: undefined;
}
/** The hub refused, for good: this reader hears nothing more. */
export interface Refusal {
    readonly type: "error";
    readonly channel: string;
    readonly error: PushhubError;
    readonly data?: undefined;
}
export type Message<Data = any> = Event<Data> | Gap | Refusal;
/** An answer that is no success. */
export interface PushhubError extends Error {
    /** The HTTP status; without one there was no answer. */
    readonly status?: number;
    /** RFC 9457, as `docs/problems.md` has them. */
    readonly problem?: {
        readonly type?: string;
        readonly detail?: string;
    };
}
/**
 * - `connecting`: not answered yet
 * - `catching-up`: reading events that were published before now
 * - `live`: a request is held; what is published comes at once
 * - `offline`: the hub cannot be reached, and is tried again and again
 * - `closed`: by `close()`, or refused
 */
export type State = "connecting" | "catching-up" | "live" | "offline" | "closed";
export interface Options {
    /** A token, or what fetches one: called before the first request, on a 401, and before it expires. */
    token?: string | (() => string | Promise<string>);
    /** `sse`: one stream instead of held requests. Falls back to `poll` behind a proxy that buffers. */
    transport?: "poll" | "sse";
    /** Seconds to ask the hub to hold a request, 1 to 55. 25 is below what proxies cut at. */
    wait?: number;
    /** Milliseconds between a held request's answer and the next one while all tabs are hidden. */
    hidden?: number;
    /**
     * Whether the tabs of this origin share one request. A text keeps apart those that must not: give
     * the user's id if tabs of one browser may belong to different users.
     */
    tabs?: boolean | string;
    /** Closes the hub. */
    signal?: AbortSignal;
    /** Instead of the browser's own: for credentials, for tests. */
    fetch?: typeof fetch;
}
export interface ReadOptions {
    /**
     * Where to begin: `earliest`, `now`, or a cursor. Without it: where this tab stopped before it was
     * reloaded, else now.
     */
    since?: string;
    /** Ends the reading. */
    signal?: AbortSignal;
}
/** The members of an item of `POST /v1/publish`. */
export interface PublishOptions {
    type?: string;
    id?: string;
    /** A publish with the same key and data can be sent again, and happens once. */
    idempotency_key?: string;
    /** Publish only if this is still the channel's last event: its cursor. */
    if_match?: string;
    /** Of `data` that is no JSON: text, or base64 with `encoding`. */
    content_type?: string;
    encoding?: "base64";
    signal?: AbortSignal;
}
/** The hub's acknowledgement: the event is in the log. */
export interface Receipt {
    readonly channel: string;
    readonly epoch: string;
    readonly offset: number;
    readonly cursor: string;
    readonly id: string;
    readonly duplicate: boolean;
}
export interface Hub {
    readonly state: State;
    /** Hear of every change of `state`. Returns what ends it. */
    onState(listener: (state: State) => void): () => void;
    /** Hear everything of a channel, gaps and refusals too. Returns what ends it. */
    on<Data = any>(channel: string, listener: (message: Message<Data>) => void, options?: ReadOptions): () => void;
    /**
     * The same as an async iterator. An event counts as read when the next one is asked for. One that
     * is read slowly keeps at most a few thousand; the log keeps the rest. A refusal is thrown.
     */
    channel<Data = any>(channel: string, options?: ReadOptions): AsyncGenerator<Event<Data> | Gap, void, undefined>;
    /** Publish; resolves when the hub has it for good. */
    publish(channel: string, data: unknown, options?: PublishOptions): Promise<Receipt>;
    /** What it is doing. */
    debug(): Record<string, unknown>;
    close(): void;
}
export interface PollOptions {
    /** Milliseconds between two requests to a server that does not wait. 5000. */
    every?: number;
    /** Seconds to ask the server to wait. 25. */
    wait?: number;
    headers?: Record<string, string>;
    signal?: AbortSignal;
    fetch?: typeof fetch;
}
/** A value, polled. Listeners hear it when it has changed. */
export interface Poll {
    /** `value` is JSON if the server says so, else text. Returns what ends it. */
    on<Value = any>(listener: (value: Value, response: Response) => void): () => void;
    /** Hear of answers that are no success, and of none. It is tried again by itself. */
    onError(listener: (error: PushhubError) => void): () => void;
    /** Whether the last answer had waited. */
    readonly waits: boolean;
    stop(): void;
}
export type Connect = (url?: string, options?: Options) => Hub;
export type StartPoll = (url: string, options?: PollOptions) => Poll;
export declare const connect: Connect;
export declare const poll: StartPoll;
export as namespace pushhub;
