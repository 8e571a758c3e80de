import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;

/**
 * Makes holes: {@code CompactedTopic BOOTSTRAP TOPIC PARTITION KEYS ROUNDS}. Writes every key once in each round to an
 * existing compacted topic, deletes every third one, and waits until the log cleaner has left fewer records than there
 * are offsets. The topic needs {@code cleanup.policy=compact}, {@code segment.ms=500},
 * {@code min.cleanable.dirty.ratio=0.01} and {@code delete.retention.ms=0}.
 */
public final class CompactedTopic {
    private static final Duration LIMIT = Duration.ofSeconds(90);

    private CompactedTopic() {}

    public static void main(String[] arguments) throws Exception {
        Lines.obey(command -> {});
        String bootstrap = arguments[0];
        TopicPartition partition = new TopicPartition(arguments[1], Integer.parseInt(arguments[2]));
        int keys = Integer.parseInt(arguments[3]);
        int rounds = Integer.parseInt(arguments[4]);
        long end = System.nanoTime() + LIMIT.toNanos();
        try (KafkaProducer<String, String> producer = producer(bootstrap)) {
            for (int round = 0; round < rounds; round++) {
                for (int key = 0; key < keys; key++) {
                    write(producer, partition, "key-" + key, "round-" + round);
                }
                producer.flush();
            }
            for (int key = 0; key < keys; key += 3) {
                write(producer, partition, "key-" + key, null);
            }
            // A segment is rolled by the next append after segment.ms, and only what is rolled is compacted.
            for (long left = Long.MAX_VALUE; left > keys; left = count(bootstrap, partition)) {
                if (System.nanoTime() > end) {
                    throw new IllegalStateException(left + " records are left of " + keys + " keys");
                }
                Thread.sleep(1000);
                write(producer, partition, "last", "last");
                producer.flush();
            }
        }
        Lines.print("partition", partition.partition(), "left", count(bootstrap, partition));
    }

    private static KafkaProducer<String, String> producer(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        return new KafkaProducer<>(settings);
    }

    private static void write(KafkaProducer<String, String> to, TopicPartition partition, String key, String value) {
        to.send(new ProducerRecord<>(partition.topic(), partition.partition(), key, value));
    }

    private static long count(String bootstrap, TopicPartition partition) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("enable.auto.commit", "false");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings)) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            long end = consumer.endOffsets(List.of(partition)).get(partition);
            long count = 0;
            while (consumer.position(partition) < end) {
                count += consumer.poll(Duration.ofMillis(100)).count();
            }
            return count;
        }
    }
}
