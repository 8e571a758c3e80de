import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Java's own assignors and the bytes of its consumer protocol. Each line of the input is a JSON object and is answered
 * by one: {@code share} gives what each member of a group is assigned, and how long that took each time; {@code write}
 * gives a member's subscription. Bytes are in base64. {@code end} ends it.
 */
public final class Assignors {
    private static final ObjectMapper JSON = new ObjectMapper();

    private Assignors() {}

    public static void main(String[] arguments) throws IOException {
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null && !line.equals("end"); line = input.readLine()) {
            JsonNode question = JSON.readTree(line);
            if (question.has("share")) {
                share(question.get("share"));
            } else {
                write(question.get("write"));
            }
        }
    }

    private static ConsumerPartitionAssignor named(String name) {
        return switch (name) {
            case "range" -> new RangeAssignor();
            case "roundrobin" -> new RoundRobinAssignor();
            case "sticky" -> new StickyAssignor();
            case "cooperative-sticky" -> new CooperativeStickyAssignor();
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static void share(JsonNode group) throws IOException {
        Cluster cluster = cluster(group);
        String assignor = group.get("assignor").asText();
        List<Long> nanos = new ArrayList<>();
        Map<String, Assignment> assignments = Map.of();
        for (int time = 0; time < group.get("times").asInt(); time++) {
            GroupSubscription members = members(group.get("members"));
            ConsumerPartitionAssignor fresh = named(assignor);
            long begun = System.nanoTime();
            assignments = fresh.assign(cluster, members).groupAssignment();
            nanos.add(System.nanoTime() - begun);
        }
        Map<String, String> shares = new TreeMap<>();
        assignments.forEach((member, share) -> shares.put(member, text(ConsumerProtocol.serializeAssignment(share))));
        Lines.print("shares", shares, "nanos", nanos);
    }

    private static GroupSubscription members(JsonNode members) throws IOException {
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (JsonNode member : members) {
            ByteBuffer bytes = ByteBuffer.wrap(member.get("subscription").binaryValue());
            Subscription subscription = ConsumerProtocol.deserializeSubscription(bytes);
            if (member.hasNonNull("instance")) {
                subscription.setGroupInstanceId(Optional.of(member.get("instance").asText()));
            }
            subscriptions.put(member.get("id").asText(), subscription);
        }
        return new GroupSubscription(subscriptions);
    }

    private static Cluster cluster(JsonNode group) {
        Map<String, Node> nodes = new HashMap<>();
        List<PartitionInfo> partitions = new ArrayList<>();
        group.get("counts").properties().forEach(topic -> {
            JsonNode racks = group.get("racks").path(topic.getKey());
            for (int index = 0; index < topic.getValue().asInt(); index++) {
                List<Node> replicas = new ArrayList<>();
                for (JsonNode rack : racks.path(index)) {
                    replicas.add(nodes.computeIfAbsent(rack.asText(), at -> new Node(nodes.size(), "h", 1, at)));
                }
                if (replicas.isEmpty()) {
                    replicas.add(nodes.computeIfAbsent("", nowhere -> new Node(nodes.size(), "h", 1)));
                }
                Node[] all = replicas.toArray(new Node[0]);
                partitions.add(new PartitionInfo(topic.getKey(), index, all[0], all, all));
            }
        });
        return new Cluster("c", nodes.values(), partitions, Set.of(), Set.of());
    }

    @SuppressWarnings("removal")
    private static void write(JsonNode member) {
        List<String> topics = new ArrayList<>();
        member.get("topics").forEach(topic -> topics.add(topic.asText()));
        List<TopicPartition> held = new ArrayList<>();
        member.get("held").forEach(one -> held.add(new TopicPartition(one.get(0).asText(), one.get(1).asInt())));
        int generation = member.get("generation").asInt();
        ConsumerPartitionAssignor assignor = named(member.get("assignor").asText());
        if (generation >= 0) {
            assignor.onAssignment(
                    new Assignment(held), new ConsumerGroupMetadata("g", generation, "m", Optional.empty()));
        }
        Subscription subscription = new Subscription(
                topics,
                assignor.subscriptionUserData(Set.copyOf(topics)),
                member.get("eager").asBoolean() ? List.of() : held,
                generation,
                Optional.ofNullable(member.path("rack").textValue()));
        short version = (short) member.get("version").asInt();
        Lines.print("subscription", text(ConsumerProtocol.serializeSubscription(subscription, version)));
    }

    private static String text(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        return Base64.getEncoder().encodeToString(bytes);
    }
}
