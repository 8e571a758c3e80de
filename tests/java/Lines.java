import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Scanner;
import java.util.function.Consumer;

/** How the programs beside the cluster talk with the test: a JSON line for each event, a word for each command. */
final class Lines {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Lines() {}

    /** Prints one object: its names and values alternate. */
    static synchronized void print(Object... namesAndValues) {
        Map<String, Object> object = new LinkedHashMap<>();
        for (int i = 0; i < namesAndValues.length; i += 2) {
            object.put((String) namesAndValues[i], namesAndValues[i + 1]);
        }
        try {
            System.out.println(JSON.writeValueAsString(object));
        } catch (JsonProcessingException impossible) {
            throw new IllegalStateException(impossible);
        }
        System.out.flush();
    }

    /** Hands over each command. The end of the input is the end of the test, and so of this process. */
    static void obey(Consumer<String> command) {
        Thread reader = new Thread(() -> {
            try (Scanner input = new Scanner(System.in)) {
                while (input.hasNextLine()) {
                    command.accept(input.nextLine().trim());
                }
            }
            Runtime.getRuntime().halt(3);
        });
        reader.setDaemon(true);
        reader.start();
    }
}
