// How the client looks from TypeScript; it is compiled by `make check`, and never run.

import {
  collection,
  connect,
  document,
  type Model,
  type Mutation,
} from "../../bridge/client/index.js";
import { useModel, useMutation } from "../../bridge/client/react.js";
import { reorder } from "../../bridge/client/reorder.js";

interface Todo {
  _id: string;
  text: string;
  done: boolean;
}

const bridge = connect({ url: "https://bridge.example.com", token: async () => "jwt" });

export const todos = bridge.model({
  channel: "todos:acme",
  merge: collection<Todo>({ sort: (one, other) => one.text.localeCompare(other.text) }),
});
export const model: Model<readonly Todo[]> = todos;
export const texts: string[] | undefined = todos.data?.map(({ text }) => text);

export const board = bridge.model({ channel: "board:1", merge: document<{ title: string }>() });
export const title: string | undefined = board.data?.title;

export const count = bridge.model<number>({
  channel: "events:acme",
  sync: async ({ signal }, from: string) => {
    const answer = await fetch(`/count?from=${from}`, { signal });
    const { total, position } = (await answer.json()) as { total: number; position: string };
    return { data: total, cursor: position };
  },
  merge: (total, event) => (event.name === "added" ? total + 1 : total),
  buffer: reorder({ window: 50 }),
});

export const write: Mutation<Response> = todos.mutate(
  { key: "1", update: (todo: Todo) => ({ ...todo, done: true }) },
  ({ mutationId, signal }) => fetch("/todos/1", { method: "POST", body: mutationId, signal }),
);

export function View(): string {
  const open = useModel(todos, ({ data }) => data?.filter(({ done }) => !done).length ?? 0);
  const { state } = useModel(todos);
  const { run, pending } = useMutation((key: string) =>
    todos.mutate({ key, op: "delete" }, () => 1),
  );
  run("1").confirmed.catch(() => {});
  return `${open} ${state} ${pending}`;
}

// @ts-expect-error a channel is required
bridge.model({ merge: collection<Todo>() });
// @ts-expect-error there is no such transport
connect({ url: "x", transport: "pigeon" });
