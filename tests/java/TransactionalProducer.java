import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.RecordTooLargeException;

/**
 * Writes transactions: {@code TransactionalProducer BOOTSTRAP TOPIC STEP...}, where a step is
 * {@code commit:PARTITION:COUNT}, {@code abort:PARTITION:COUNT}, {@code interleave:PARTITION:COUNT} (two open
 * transactions take turns record by record; one commits, the other aborts) or {@code control:PARTITION} (a transaction
 * that leaves nothing but its marker; the topic needs {@code max.message.bytes=10000}). Each record is a batch of its
 * own. Prints where each record went and what became of it.
 */
public final class TransactionalProducer {
    private static final int TOO_LARGE = 20_000;
    private static int written = 0;

    private TransactionalProducer() {}

    public static void main(String[] arguments) throws Exception {
        Lines.obey(command -> {});
        String topic = arguments[1];
        try (KafkaProducer<String, String> one = producer(arguments[0]);
                KafkaProducer<String, String> other = producer(arguments[0])) {
            for (int i = 2; i < arguments.length; i++) {
                String[] step = arguments[i].split(":");
                int partition = Integer.parseInt(step[1]);
                switch (step[0]) {
                    case "commit" -> transaction(one, topic, partition, Integer.parseInt(step[2]), true);
                    case "abort" -> transaction(one, topic, partition, Integer.parseInt(step[2]), false);
                    case "interleave" -> interleave(one, other, topic, partition, Integer.parseInt(step[2]));
                    case "control" -> control(one, topic, partition);
                    default -> throw new IllegalArgumentException(arguments[i]);
                }
            }
        }
    }

    private static KafkaProducer<String, String> producer(String bootstrap) {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", bootstrap);
        settings.put("transactional.id", UUID.randomUUID().toString());
        settings.put("key.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        settings.put("value.serializer", "org.apache.kafka.common.serialization.StringSerializer");
        KafkaProducer<String, String> producer = new KafkaProducer<>(settings);
        producer.initTransactions();
        return producer;
    }

    private static void transaction(
            KafkaProducer<String, String> producer, String topic, int partition, int count, boolean commit)
            throws Exception {
        producer.beginTransaction();
        List<Runnable> prints = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            prints.add(write(producer, topic, partition, commit));
        }
        end(producer, commit, prints);
    }

    private static void interleave(
            KafkaProducer<String, String> one, KafkaProducer<String, String> other, String topic, int partition, int count)
            throws Exception {
        one.beginTransaction();
        other.beginTransaction();
        List<Runnable> committed = new ArrayList<>();
        List<Runnable> aborted = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            committed.add(write(one, topic, partition, true));
            aborted.add(write(other, topic, partition, false));
        }
        end(other, false, aborted);
        end(one, true, committed);
    }

    private static void control(KafkaProducer<String, String> producer, String topic, int partition) throws Exception {
        producer.beginTransaction();
        try {
            producer.send(new ProducerRecord<>(topic, partition, "large", "x".repeat(TOO_LARGE))).get();
            throw new IllegalStateException("the topic took a record of " + TOO_LARGE + " bytes");
        } catch (ExecutionException refused) {
            if (!(refused.getCause() instanceof RecordTooLargeException)) {
                throw refused;
            }
        }
        producer.abortTransaction();
        Lines.print("partition", partition, "fate", "control");
    }

    private static Runnable write(
            KafkaProducer<String, String> producer, String topic, int partition, boolean commit) throws Exception {
        String fate = commit ? "committed" : "aborted";
        String key = "key-" + written;
        String value = fate + "-" + written++;
        long offset = producer.send(new ProducerRecord<>(topic, partition, key, value)).get().offset();
        return () -> Lines.print("partition", partition, "offset", offset, "key", key, "value", value, "fate", fate);
    }

    private static void end(KafkaProducer<String, String> producer, boolean commit, List<Runnable> prints) {
        if (commit) {
            producer.commitTransaction();
        } else {
            producer.abortTransaction();
        }
        prints.forEach(Runnable::run);
    }
}
