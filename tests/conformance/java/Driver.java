// The driver of `pushhub conformance` for the Java recipe (docs/recipes.md).
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.function.Supplier;
import java.util.regex.Pattern;

public final class Driver {
    private static final PrintStream OUT = new PrintStream(System.out, true, StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        String mode = System.getenv("CONFORMANCE_MODE");
        String url = System.getenv("CONFORMANCE_URL");
        String file = System.getenv("CONFORMANCE_TOKEN_FILE");
        Supplier<String> token = file.isEmpty() ? null : () -> content(file);
        if (!mode.equals("stream") && !mode.equals("value")) {
            OUT.println("{\"type\": \"unsupported\"}");
            return;
        }
        Thread reader = new Thread(() -> {
            try {
                if (mode.equals("stream")) read(new Client(url, token));
                else poll(url);
            } catch (InterruptedException cancelled) {
                // The end of standard input.
            }
        });
        reader.start();
        Thread input = new Thread(() -> {
            try {
                System.in.readAllBytes();
            } catch (IOException closed) {
                // The same as its end.
            }
            reader.interrupt();
        });
        input.setDaemon(true);
        input.start();
        reader.join();
    }

    private static void read(Client client) throws InterruptedException {
        var pair = Pattern.compile("\\{\"(.+)\": \"(.+)\"\\}").matcher(System.getenv("CONFORMANCE_CHANNELS"));
        pair.find();
        String begin = "\", \"channel\": \"" + pair.group(1) + "\", ";
        try {
            client.read(pair.group(1), pair.group(2), new Client.Listener() {
                public void event(String cursor, String data) {
                    OUT.println("{\"type\": \"event" + begin + "\"cursor\": \"" + cursor + "\", \"data\": " + data + "}");
                }

                public void gap(String gap) {
                    OUT.println("{\"type\": \"gap" + begin + gap.substring(1));
                }
            });
        } catch (Client.Refused refused) {
            OUT.println("{\"type\": \"error" + begin + "\"status\": " + refused.status + "}");
        }
    }

    private static void poll(String url) throws InterruptedException {
        int wait = Integer.parseInt(System.getenv("CONFORMANCE_WAIT"));
        long every = (long) (1000 * Double.parseDouble(System.getenv("CONFORMANCE_EVERY")));
        new Client(url, null).poll(
            URI.create(url), wait, Duration.ofMillis(every), value -> OUT.println("{\"type\": \"value\", \"data\": " + value + "}"));
    }

    private static String content(String file) {
        try {
            return Files.readString(Path.of(file));
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }
}
