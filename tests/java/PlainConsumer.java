import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;

/**
 * A member of a group as most are: {@code PlainConsumer BOOTSTRAP GROUP TOPIC [--on-command] [SETTING=VALUE...]}.
 * Everything is at its default, auto-commit too, except that it begins at the topic's beginning. Prints each record.
 * With {@code --on-command} it says {@code ready} and waits for {@code begin}. Obeys {@code leave}: it commits, leaves
 * the group and ends.
 */
public final class PlainConsumer {
    private PlainConsumer() {}

    public static void main(String[] arguments) throws InterruptedException {
        boolean onCommand = List.of(arguments).contains("--on-command");
        CountDownLatch begin = new CountDownLatch(onCommand ? 1 : 0);
        AtomicReference<KafkaConsumer<String, String>> running = new AtomicReference<>();
        Lines.obey(command -> {
            switch (command) {
                case "begin" -> begin.countDown();
                case "leave" -> running.get().wakeup();
                default -> throw new IllegalArgumentException(command);
            }
        });
        Properties settings = settings(arguments);
        if (onCommand) {
            Lines.print("event", "ready");
        }
        begin.await();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            running.set(consumer);
            consumer.subscribe(List.of(arguments[2]));
            read(consumer);
        }
    }

    private static void read(KafkaConsumer<String, String> consumer) {
        try {
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    Lines.print("offset", record.offset(), "value", record.value());
                }
            }
        } catch (WakeupException leave) {
            // Its close commits and leaves.
        }
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        for (int i = 3; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            if (setting.length == 2) {
                settings.put(setting[0], setting[1]);
            }
        }
        return settings;
    }
}
