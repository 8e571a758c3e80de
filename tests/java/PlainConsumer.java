import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.WakeupException;

/**
 * A member of a group as most are: {@code PlainConsumer BOOTSTRAP GROUP TOPIC [--on-command] [--work=MS]
 * [SETTING=VALUE...]}. Everything is at its default, auto-commit too, except that it begins at the topic's beginning.
 * Prints each record, after it has worked at it for so long, and each assignment with its generation and what the
 * consumer's own metrics say of rebalances. With {@code --on-command} it says {@code ready} and waits for {@code begin}.
 * Obeys {@code leave}: it commits, leaves the group and ends.
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
        long work = 0;
        for (String argument : arguments) {
            if (argument.startsWith("--work=")) {
                work = Long.parseLong(argument.substring("--work=".length()));
            }
        }
        Properties settings = settings(arguments);
        if (onCommand) {
            Lines.print("event", "ready");
        }
        begin.await();
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            running.set(consumer);
            consumer.subscribe(List.of(arguments[2]), new Report(consumer));
            read(consumer, work);
        }
    }

    private static void read(KafkaConsumer<String, String> consumer, long work) throws InterruptedException {
        try {
            while (true) {
                for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofMillis(100))) {
                    Thread.sleep(work);
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
            if (setting.length == 2 && !setting[0].startsWith("--")) {
                settings.put(setting[0], setting[1]);
            }
        }
        return settings;
    }

    private static final class Report implements ConsumerRebalanceListener {
        private final KafkaConsumer<String, String> consumer;

        private Report(KafkaConsumer<String, String> consumer) {
            this.consumer = consumer;
        }

        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            Lines.print(
                    "event", "assigned", "generation", consumer.groupMetadata().generationId(),
                    "rebalances", metric("rebalance-total"), "latency_ms", metric("rebalance-latency-total"));
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {}

        private double metric(String name) {
            return consumer.metrics().entrySet().stream()
                    .filter(entry -> entry.getKey().name().equals(name))
                    .map(entry -> entry.getValue().metricValue())
                    .mapToDouble(value -> value instanceof Double number && !number.isNaN() ? number : 0)
                    .sum();
        }
    }
}
