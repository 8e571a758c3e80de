import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;

/**
 * A plain member of a group: {@code GroupMember BOOTSTRAP GROUP TOPIC ASSIGNOR [SETTING=VALUE...]}, where the assignor
 * is range, roundrobin, sticky, cooperative-sticky, or consumer for the protocol of KIP-848. Prints each record, then
 * commits it; prints what is assigned, revoked and lost. Obeys {@code leave} (commits what it was given, leaves the
 * group, ends) and {@code exit} (ends as if killed).
 */
public final class GroupMember {
    private static final Map<String, String> ASSIGNORS = Map.of(
            "range", "org.apache.kafka.clients.consumer.RangeAssignor",
            "roundrobin", "org.apache.kafka.clients.consumer.RoundRobinAssignor",
            "sticky", "org.apache.kafka.clients.consumer.StickyAssignor",
            "cooperative-sticky", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor");

    private GroupMember() {}

    public static void main(String[] arguments) {
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings(arguments))) {
            Lines.obey(command -> {
                switch (command) {
                    case "leave" -> consumer.wakeup();
                    case "exit" -> Runtime.getRuntime().halt(0);
                    default -> throw new IllegalArgumentException(command);
                }
            });
            consumer.subscribe(List.of(arguments[2]), new Report());
            try {
                while (true) {
                    read(consumer);
                }
            } catch (WakeupException leave) {
                commitLast(consumer);
            }
        }
        Lines.print("event", "left");
    }

    private static Properties settings(String[] arguments) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[0]);
        settings.put("group.id", arguments[1]);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        if (arguments[3].equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            settings.put("partition.assignment.strategy", ASSIGNORS.get(arguments[3]));
        }
        for (int i = 4; i < arguments.length; i++) {
            String[] setting = arguments[i].split("=", 2);
            settings.put(setting[0], setting[1]);
        }
        return settings;
    }

    private static void read(KafkaConsumer<String, String> consumer) {
        ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
        for (ConsumerRecord<String, String> record : records) {
            Lines.print(
                    "event", "record", "partition", record.partition(), "offset", record.offset(),
                    "key", record.key(), "value", record.value());
        }
        if (!records.isEmpty()) {
            commit(consumer);
        }
    }

    /** The consumer protocol's client may throw one wakeup twice, if the first came in mid-commit. */
    private static void commitLast(KafkaConsumer<String, String> consumer) {
        try {
            commit(consumer);
        } catch (WakeupException again) {
            commit(consumer);
        }
    }

    private static void commit(KafkaConsumer<String, String> consumer) {
        try {
            consumer.commitSync();
        } catch (CommitFailedException | RebalanceInProgressException error) {
            Lines.print("event", "commit_failed", "error", error.getClass().getSimpleName());
        }
    }

    private static final class Report implements ConsumerRebalanceListener {
        @Override
        public void onPartitionsAssigned(Collection<TopicPartition> partitions) {
            print("assigned", partitions);
        }

        @Override
        public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
            print("revoked", partitions);
        }

        @Override
        public void onPartitionsLost(Collection<TopicPartition> partitions) {
            print("lost", partitions);
        }

        private static void print(String event, Collection<TopicPartition> partitions) {
            List<Integer> sorted = partitions.stream().map(TopicPartition::partition).sorted().toList();
            Lines.print("event", event, "at_ms", System.currentTimeMillis(), "partitions", sorted);
        }
    }
}
