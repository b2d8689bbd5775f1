// java Client.java http://127.0.0.1:8080 orders
//
// Reads a channel of pushhub by Server-Sent Events, or any URL with an ETag by long-polling. It needs
// Java 17 and no library; `data` is JSON for the one that your program uses.
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Set;
import java.util.Timer;
import java.util.TimerTask;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Consumer;
import java.util.function.Supplier;

public final class Client {
    /** Receives what a channel has. */
    public interface Listener {
        void event(String cursor, String data);

        /** Events may be missing: reload your data. `gap` is JSON: reason, oldest, latest. */
        void gap(String gap);
    }

    /** The hub refuses permanently; `getMessage` is its problem, as JSON. */
    public static final class Refused extends Exception {
        private static final long serialVersionUID = 1;
        public final int status;

        Refused(int status, String problem) {
            super(problem);
            this.status = status;
        }
    }

    private static final Set<Integer> REFUSALS = Set.of(400, 403, 404, 413);
    // A stream of a hub has a byte every 15 s.
    private static final long SILENCE_MS = 25_000;

    // By default it follows no redirect, so that the token goes to no other origin.
    private final HttpClient http = client(HttpClient.Redirect.NEVER);
    private final HttpClient following = client(HttpClient.Redirect.NORMAL);
    private final String hub;
    private final Supplier<String> token;
    private String bearer;
    private long retry;

    /** `token` is called at the start and after a 401; null for a hub whose channels are public. */
    public Client(String hub, Supplier<String> token) {
        this.hub = hub;
        this.token = token;
        bearer = token == null ? null : token.get();
    }

    private static HttpClient client(HttpClient.Redirect redirect) {
        return HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Duration.ofSeconds(10))
            .followRedirects(redirect)
            .build();
    }

    /** Reads a channel from `cursor` (a cursor, `now` or `earliest`) until its thread is interrupted. */
    public void read(String channel, String cursor, Listener listener)
            throws InterruptedException, Refused {
        String path = "/v1/channels/" + encoded(channel) + "/events?since=";
        var last = new String[] {cursor};
        boolean renewed = false;
        for (int failures = 0; ; ) {
            long pause = 0;
            try {
                var request = HttpRequest.newBuilder(URI.create(hub + path + encoded(last[0])))
                    .header("Accept", "text/event-stream")
                    .timeout(Duration.ofSeconds(10)); // until the head of the response
                if (bearer != null) request.header("Authorization", "Bearer " + bearer);
                var response = http.send(request.build(), BodyHandlers.ofInputStream());
                String kind = response.headers().firstValue("Content-Type").orElse("");
                if (response.statusCode() == 200 && kind.startsWith("text/event-stream")) {
                    failures = 0;
                    renewed = false;
                    try (var body = response.body()) {
                        follow(body, last, listener);
                    }
                    pause = retry;
                } else {
                    String problem = new String(response.body().readAllBytes(), StandardCharsets.UTF_8);
                    int status = response.statusCode();
                    if (REFUSALS.contains(status)) throw new Refused(status, problem);
                    if (status == 401 && token != null && !renewed) {
                        renewed = true;
                        bearer = token.get();
                        continue;
                    }
                    pause = Math.max(after(response), backoff(failures++));
                }
            } catch (IOException error) {
                if (Thread.interrupted()) throw new InterruptedException();
                pause = backoff(failures++);
            }
            Thread.sleep(pause);
        }
    }

    /** Reads a stream to its end; the last id is in `last[0]`. */
    private void follow(InputStream body, String[] last, Listener listener) throws IOException {
        var lines = new BufferedReader(new InputStreamReader(body, StandardCharsets.UTF_8));
        var watch = new Timer(true);
        try {
            String event = "";
            String id = last[0];
            StringBuilder data = null;
            while (true) {
                var silence = new TimerTask() {
                    public void run() {
                        try {
                            body.close();
                        } catch (IOException closed) {
                            // It is closed already.
                        }
                    }
                };
                watch.schedule(silence, SILENCE_MS);
                String line = lines.readLine();
                silence.cancel();
                if (line == null) return;
                int colon = line.indexOf(':');
                String name = colon < 0 ? line : line.substring(0, colon);
                String value = colon < 0 ? "" : line.substring(colon + 1).replaceFirst("^ ", "");
                switch (name) {
                    case "id" -> id = value;
                    case "event" -> event = value;
                    case "retry" -> retry = Long.parseLong(value);
                    case "data" -> data = data == null ? new StringBuilder(value) : data.append('\n').append(value);
                    default -> { }
                }
                if (!line.isEmpty()) continue;
                last[0] = id; // At the end of the message: one that is cut comes again.
                if (data != null) {
                    switch (event) {
                        case "gap" -> listener.gap(data.toString());
                        case "error" -> { } // The token has ended: the next request is a 401.
                        default -> listener.event(last[0], data.toString());
                    }
                }
                event = "";
                data = null;
            }
        } finally {
            watch.cancel();
        }
    }

    /** Polls any URL: waits where the server can, and asks every `every` where it cannot. */
    public void poll(URI url, int wait, Duration every, Consumer<String> listener) throws InterruptedException {
        String tag = null;
        int quick = 0;
        for (int failures = 0; ; ) {
            long pause;
            try {
                long began = System.nanoTime();
                var request = HttpRequest.newBuilder(url)
                    .header("Prefer", "wait=" + wait)
                    .timeout(Duration.ofSeconds(wait + 10));
                if (tag != null) request.header("If-None-Match", tag);
                var response = following.send(request.build(), BodyHandlers.ofString());
                int status = response.statusCode();
                if (status == 200) {
                    tag = response.headers().firstValue("ETag").orElse(null);
                    listener.accept(response.body());
                } else if (status == 404) {
                    tag = null;
                } else if (status != 304) {
                    Thread.sleep(Math.max(after(response), backoff(failures++)));
                    continue;
                }
                failures = 0;
                var interval = response.headers().firstValue("X-Poll-Interval");
                boolean waited = response.headers().firstValue("Preference-Applied").isPresent();
                // A server that says that it waits, and does not, must not be asked without a pause.
                quick = System.nanoTime() - began < 1_000_000_000 ? quick + 1 : 0;
                long spin = quick > 4 ? Math.min(every.toMillis(), backoff(quick - 5)) : 0;
                pause = interval.isPresent() ? seconds(interval.get()) : waited ? spin : every.toMillis();
            } catch (IOException error) {
                pause = backoff(failures++);
            }
            Thread.sleep(pause);
        }
    }

    /** 1 s, 2 s, 4 s … 60 s, and up to a second more, so that clients do not return together. */
    private static long backoff(int failures) {
        return Math.min(60_000, 1000L << Math.min(failures, 6)) + ThreadLocalRandom.current().nextLong(1000);
    }

    private static long after(HttpResponse<?> response) {
        return response.headers().firstValue("Retry-After").map(Client::seconds).orElse(0L);
    }

    private static long seconds(String text) {
        try {
            return (long) (1000 * Double.parseDouble(text));
        } catch (NumberFormatException date) {
            return 0;
        }
    }

    private static String encoded(String text) {
        return URLEncoder.encode(text, StandardCharsets.UTF_8).replace("+", "%20");
    }

    public static void main(String[] arguments) throws InterruptedException {
        String key = System.getenv("PUSHHUB_KEY");
        try {
            new Client(arguments[0], key == null ? null : () -> key).read(arguments[1], "earliest", new Listener() {
                public void event(String cursor, String data) {
                    System.out.println(cursor + " " + data);
                }

                public void gap(String gap) {
                    System.err.println("events may be missing: " + gap);
                }
            });
        } catch (Refused refused) {
            System.err.println(refused.getMessage());
            System.exit(1);
        }
    }
}
